"""`estafette trigger`, `rebuild`, `cancel`, `status`, `logs`: builds on a server."""

import asyncio
import sys
from typing import Annotated, Any

import typer
from estafette_common.bus.messages.commands import Answer, Cancel, Rebuild, StartBuild
from estafette_common.jobs.lifecycle import FINAL, Kind
from estafette_common.jobs.plan import Repository

from cli import here, showing, summing
from cli.asking import (
    API_URL,
    NATS_URL,
    NOT_DONE,
    ApiUrl,
    Credentials,
    NatsUrl,
    Pipeline,
    RequestId,
    ask,
    give_up,
    pipeline_of,
    run,
)
from cli.server import Api, Bus, ServerError, api

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Follow the log until the build has ended.")]
Which = Annotated[str, typer.Argument(metavar="[BUILD]", help="Id, version or revision; without it, the newest build.")]


def trigger(
    *,
    pipeline: Pipeline = "",
    branch: Annotated[str, typer.Option(help="Without it, the branch of this checkout.")] = "",
    revision: Annotated[str, typer.Option(help="Of 40 digits; without it, the head of the branch.")] = "",
    follow: Follow = False,
    request_id: RequestId = "",
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
    api_url: ApiUrl = API_URL,
) -> None:
    """Build a branch on the server, as it is there or at a revision."""
    place = pipeline_of(pipeline)
    branch = branch or here.branch() or give_up("this folder is on no branch; write --branch")
    command = StartBuild(repository=place, branch=branch, revision=revision, by=here.person())
    answer = ask(Bus(url=nats_url, credentials=nats_credentials), command, request_id)
    _say_and_follow(answer, place, api_url, follow=follow)


def rebuild(
    version: Annotated[str, typer.Argument(help="Of a build that failed or was canceled.")],
    *,
    pipeline: Pipeline = "",
    from_failed: Annotated[bool, typer.Option("--from-failed", help="Pass over resumable stages that passed.")] = False,
    follow: Follow = False,
    request_id: RequestId = "",
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
    api_url: ApiUrl = API_URL,
) -> None:
    """Build a version once more: the same revision, manifest and version."""
    place = pipeline_of(pipeline)
    command = Rebuild(repository=place, version=version, from_failed=from_failed, by=here.person())
    answer = ask(Bus(url=nats_url, credentials=nats_credentials), command, request_id)
    _say_and_follow(answer, place, api_url, follow=follow)


def cancel(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="Of the build, release or run of a bot.")],
    *,
    kind: Annotated[Kind, typer.Option(help="What it is.")] = Kind.BUILD,
    reason: Annotated[str, typer.Option(help="For people.")] = "",
    request_id: RequestId = "",
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
) -> None:
    """End a job that waits or runs. It is canceling until nothing of it is left."""
    command = Cancel(kind=kind, job_id=job_id, reason=reason, by=here.person())
    answer = ask(Bus(url=nats_url, credentials=nats_credentials), command, request_id)
    print(f"{kind} {answer.version or job_id} is {answer.status}")


def status(
    build: Which = "",
    *,
    pipeline: Annotated[str, typer.Option(help="source/owner/name: list its newest builds.")] = "",
    most: Annotated[int, typer.Option(min=1, max=100, help="How many builds to list.")] = 10,
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
    api_url: ApiUrl = API_URL,
) -> None:
    """Sum up the whole system; list the newest builds of a pipeline, or show one build."""
    if not build and not pipeline:
        lines, complete = run(summing.look(api_url, Bus(url=nats_url, credentials=nats_credentials), most=most))
        print("\n".join(lines))
        if not complete:
            raise typer.Exit(NOT_DONE)
        return
    place = pipeline_of(pipeline)

    async def read() -> list[str]:
        async with api(api_url) as reader:
            if build:
                return list(showing.details(await _find(reader, place, build)))
            return list(showing.table(await reader.builds(place, size=most)))

    print("\n".join(run(read())))


def logs(
    build: Which = "",
    *,
    pipeline: Pipeline = "",
    follow: Follow = False,
    api_url: ApiUrl = API_URL,
) -> None:
    """Print the log of a build; with -f, until it has ended."""
    place = pipeline_of(pipeline)

    async def read() -> dict[str, Any]:
        async with api(api_url) as reader:
            found = await _find(reader, place, build)
            if follow:
                return await _follow(reader, place, found["id"])
            for line in showing.steps(await reader.log(place, found["id"])):
                print(line)
            return found

    found = run(read())
    if follow and found["buildStatus"] != "succeeded":
        raise typer.Exit(NOT_DONE)


async def _find(reader: Api, place: Repository, which: str) -> dict[str, Any]:
    """Return the build of an id, a version or a revision; the newest one where nothing is said."""
    newest = await reader.builds(place, size=100 if which else 1)
    found = next((each for each in newest if which in {"", each["id"], each["buildVersion"]}), None)
    if found is None and not which:
        raise ServerError(f"{place.pipeline} has no builds")
    return found or await reader.build(place, which)


async def _follow(reader: Api, place: Repository, build_id: str) -> dict[str, Any]:
    """Print a log until it has ended; return the build as it is then."""
    async for told in reader.follow(place, build_id):
        for line in showing.event(told):
            print(line, flush=True)
    while True:
        found = await reader.build(place, build_id)
        if found["buildStatus"] in FINAL:
            print(f"build {found['buildVersion']} {showing.status(found)}")
            return found
        await asyncio.sleep(LOOK_AGAIN)


LOOK_AGAIN = 0.5
"""Seconds until it is looked again how a build ended whose log has."""


def _say_and_follow(answer: Answer, place: Repository, api_url: str, *, follow: bool) -> None:
    print(f"build {answer.version} is {answer.status}, id {answer.job_id}")
    if answer.message:
        print(answer.message, file=sys.stderr)

    async def read() -> dict[str, Any]:
        async with api(api_url) as reader:
            return await _follow(reader, place, answer.job_id or "")

    if follow and run(read())["buildStatus"] != "succeeded":
        raise typer.Exit(NOT_DONE)
