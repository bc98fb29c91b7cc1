"""`python -m manifest_planner what-if`, which is `estafette plan`: what an event would lead to. Starts nothing."""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import asyncpg
import nats
import nats.errors
from estafette_common.bus.messages import events as messages
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.reading import check
from estafette_common.triggers.events import Event

from manifest_planner import foretelling, known, recorded, trigger_events
from manifest_planner.foreseeing import Foreseen, Foresight, State
from manifest_planner.recorded import Recorded, RecordedError
from manifest_planner.settings import WhatIfSettings

UNUSABLE = 2
"""Exit code when there is nothing to look at."""

MOST = 200
"""Decisions that are told; triggers in a circle come to more."""


def main(arguments: Sequence[str]) -> int:
    """Tell what would happen, as the arguments say; return the exit code."""
    asked, settings = _arguments(arguments), WhatIfSettings()
    try:
        manifest = asked.manifest.read_text()
        events = _events(asked, settings)
        place = _place(asked.pipeline, events)
        state = _state(asked, settings, place, events)
    except (OSError, ValueError, RecordedError, asyncpg.PostgresError, nats.errors.Error) as error:
        sys.stderr.write(f"{error or type(error).__name__}\n")
        return UNUSABLE
    foresight = Foresight(manifest, place, state, most_hops=settings.most_trigger_hops)
    told = list(islice((each for event in events for each in _foresee(foresight, event)), MOST))
    said = list(foretelling.lines(told)) or [_nothing(manifest, place)]
    sys.stdout.writelines(f"{line}\n" for line in said)
    return 0


def _foresee(foresight: Foresight, event: Recorded) -> Iterator[Foreseen]:
    if isinstance(event.message, messages.GitPushed):
        yield from foresight.push(event.message)
    seen = _event(event)
    if seen is not None:
        yield from foresight.event(seen, event_id=event.id)


def _event(event: Recorded) -> Event | None:  # noqa: PLR0911  one line for each type of message
    match event.message:
        case messages.GitPushed() as push:
            return trigger_events.of_push(push)
        case messages.PipelineChanged() as build:
            return trigger_events.of_build(build)
        case messages.ReleaseChanged() as release:
            return trigger_events.of_release(release)
        case messages.CronTicked() as tick:
            return trigger_events.of_tick(tick, late=tick.late)
        case messages.RegistryPushed() as pushed:
            return trigger_events.of_image(pushed)
        case messages.PubSubReceived() as received:
            return trigger_events.of_pubsub(received)
        case messages.GithubEvent() as told:
            return trigger_events.of_github(told, told.payload, delivery=event.id)
        case messages.BitbucketEvent() as told:
            return trigger_events.of_bitbucket(told)
    return None


def _events(asked: argparse.Namespace, settings: WhatIfSettings) -> list[Recorded]:
    """Return the events of a file, or of the stream where there is no such file."""
    file = Path(asked.event)
    if file.is_file():
        return [recorded.from_file(file.read_text())]
    found = asyncio.run(_from_stream(asked.event, settings.nats_url, settings.nats_credentials))
    if not found:
        raise RecordedError(f"{asked.event} is no file, and no event that is kept at {settings.nats_url}")
    return found


async def _from_stream(delivery: str, url: str, credentials: Path | None) -> list[Recorded]:
    try:
        client = await nats.connect(
            url, user_credentials=credentials, connect_timeout=5, allow_reconnect=False, error_cb=_ignore
        )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        why_not = f"NATS at {url} lets nobody in: {error or type(error).__name__}"
        raise RecordedError(f"{delivery} is no file, and {why_not}") from None
    try:
        return await recorded.of_delivery(client.jetstream(), delivery)
    finally:
        await client.close()


def _place(written: str, events: Sequence[Recorded]) -> Repository:
    """Return the pipeline that is written, or else the one that was pushed to."""
    if written:
        parts = written.split("/")
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"{written!r} is no pipeline; write it as github.com/acme/shop")
        return Repository(source=parts[0], owner=parts[1], name=parts[2])
    for event in events:
        if isinstance(event.message, messages.GitPushed):
            return event.message.repository
    raise ValueError("the event is no push, so it names no pipeline; write --pipeline github.com/acme/shop")


def _state(asked: argparse.Namespace, settings: WhatIfSettings, place: Repository, events: Sequence[Recorded]) -> State:
    """Return what the database knows, and over it what is written."""
    seen = [event for event in map(_event, events) if event is not None]
    found = asyncio.run(known.state(settings.database_url, place, seen)) if settings.database_url else State()
    live = dict(found.live)
    for written in asked.live:
        name, _, version = written.partition("=")
        target, _, action = name.partition("/")
        live[target, action] = version
    return replace(found, number=asked.number or found.number, latest=asked.latest or found.latest, live=live)


def _nothing(manifest: str, place: Repository) -> str:
    wrong = check(manifest).errors
    if wrong:
        return f"nothing by this manifest, for it is not valid: {wrong[0]}"
    return f"nothing: it is no push to {place.pipeline}, and no trigger of the manifest waits for such an event"


async def _ignore(_: Exception) -> None:
    """Errors are told by what fails of them."""


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="estafette plan",
        description="Tell what an event would lead to if a manifest were in force. Starts nothing, writes nothing.",
    )
    add = parser.add_argument
    add("--manifest", type=Path, default=Path(".estafette.yaml"), help="The manifest; .estafette.yaml of this folder.")
    add(
        "--event",
        required=True,
        metavar="FILE|DELIVERY-ID",
        help="A CloudEvent in a file of JSON, or the id of a delivery that the server heard.",
    )
    add("--pipeline", default="", help="source/owner/name; without it, the one that was pushed to.")
    add("--number", type=int, default=0, help="Of the next build; without it and the database, 1.")
    add("--latest", default="", metavar="VERSION", help="Of the newest build that succeeded.")
    add("--live", action="append", default=[], metavar="TARGET[/ACTION]=VERSION", help="What is released where.")
    return parser.parse_args(arguments)
