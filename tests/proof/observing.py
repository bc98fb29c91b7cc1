"""Looks at the system from outside: its API, the forge, and the streams as an external subscriber reads them."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any

import aiohttp
import nats.errors
from estafette_common.bus.subjects import STREAMS
from estafette_local.forge import FakeForge
from estafette_local.people import Person, build_path
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from tests.proof.oracle import FINISHED, Build, DeadLetter, Observed, Step
from tests.proof.pushes import OWNER

PAGE = 100

QUIET = 1.0
"""Seconds without a message after which a stream counts as read."""


class Observer:
    """Reads everything there is. What ended is read once only, for it must not change any more."""

    def __init__(self, person: Person, forge: FakeForge, jetstream: JetStreamContext) -> None:
        self._person = person
        self._forge = forge
        self._jetstream = jetstream

    async def observe(self, repositories: Sequence[str]) -> Observed:
        """Return what is there now."""
        rows = [row for each in repositories for row in await self._rows(each, "builds")]
        builds = [await self._build(row) for row in rows]
        releases = [row for each in repositories for row in await self._rows(each, "releases")]
        return Observed(
            builds=builds,
            releases=[
                (row["repoName"], row["name"], _number(row["releaseVersion"]), row["releaseStatus"]) for row in releases
            ],
            states=self._states(),
            dead=[letter async for letter in self._dead()],
            stored=await self._stored(),
        )

    async def active(self, repositories: Sequence[str]) -> int:
        """Return how many builds and releases did not end."""
        rows = [row for each in repositories for row in await self._rows(each, "builds")]
        releases = [row for each in repositories for row in await self._rows(each, "releases")]
        statuses = [row["buildStatus"] for row in rows] + [row["releaseStatus"] for row in releases]
        return sum(status not in FINISHED for status in statuses)

    async def waiting(self) -> int:
        """Return how many messages consumers have not handled."""
        found = 0
        for stream in STREAMS.values():
            for info in await self._jetstream.consumers_info(stream.name):
                if info.config.durable_name:
                    found += (info.num_pending or 0) + (info.num_ack_pending or 0)
        return found

    async def _rows(self, repository: str, what: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        path = f"/api/pipelines/github.com/{OWNER}/{repository}/{what}"
        for page in range(1, 100):
            try:
                answer = await self._person.get(f"{path}?page[size]={PAGE}&page[number]={page}")
            except aiohttp.ClientResponseError as error:
                if error.status == HTTPStatus.NOT_FOUND:  # nothing was pushed there
                    return []
                raise
            rows += answer["items"]
            if len(answer["items"]) < PAGE:
                break
        return rows

    async def _build(self, row: dict[str, Any]) -> Build:
        steps: list[Step] = []
        if row["buildStatus"] in FINISHED:
            log = await self._person.get(f"{build_path(row)}/logs")
            steps = [*_steps(log["steps"])]
        minutes = [cron["time"] for event in row.get("triggerEvents") or [] if (cron := event.get("cron"))]
        return Build(
            id=str(row["id"]),
            repository=row["repoName"],
            revision=row["repoRevision"],
            number=_number(row["buildVersion"]),
            status=row["buildStatus"],
            outcome=row["outcome"] or "",
            minute=datetime.fromisoformat(minutes[0]) if minutes else None,
            steps=steps,
        )

    def _states(self) -> dict[str, list[str]]:
        states: dict[str, list[str]] = {}
        for status in list(self._forge.statuses):
            states.setdefault(status["target_url"].rpartition("/")[2], []).append(status["state"])
        return states

    async def _dead(self) -> Any:
        async for message in self._read(STREAMS["dead"].name):
            headers = message.headers or {}
            yield DeadLetter(
                id=headers.get("ce-id", ""),
                consumer=headers.get("estafette-consumer", ""),
                reason=f"{headers.get('estafette-subject')}: {headers.get('estafette-reason')}",
            )

    async def _stored(self) -> dict[str, int]:
        stored: Counter[str] = Counter()
        for name in ("event", "job", "log"):
            stream = STREAMS[name].name
            async for message in self._read(stream):
                if told := (message.headers or {}).get("ce-id"):
                    stored[f"{stream} {told}"] += 1
        return dict(stored)

    async def _read(self, stream: str) -> Any:
        """Give each message of a stream, without its body, as an ordered consumer gets them."""
        if not (await self._jetstream.stream_info(stream)).state.messages:
            return
        config = ConsumerConfig(headers_only=True, deliver_policy=DeliverPolicy.ALL)
        subscription = await self._jetstream.subscribe(">", stream=stream, ordered_consumer=True, config=config)
        try:
            while True:
                with suppress(nats.errors.TimeoutError, asyncio.TimeoutError):
                    message = await subscription.next_msg(timeout=QUIET)
                    yield message
                    if not message.metadata.num_pending:  # the last sequence may be of one that was deleted
                        return
        finally:
            await subscription.unsubscribe()


def _number(version: str) -> int:
    return int(version.rpartition(".")[2])


def _steps(steps: Sequence[dict[str, Any]]) -> Iterator[Step]:
    for step in steps:
        run = f"#{step['runIndex']}" if step.get("runIndex") else ""
        texts = [line["text"].removesuffix("\n") for line in step["logLines"] or []]
        # What the builder itself says, such as the command that runs, begins with a colour; no line of ours does.
        printed = [text for text in texts if not text.startswith("\x1b")]
        yield Step(name=step["step"] + run, status=step["status"], lines=printed)
        yield from _steps(step["nestedSteps"] or [])
