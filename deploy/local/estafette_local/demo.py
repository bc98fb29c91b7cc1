"""`python -m estafette_local.demo`: a push becomes a build, before your eyes, on this machine."""

import argparse
import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from estafette_common.jobs.lifecycle import FINAL

from estafette_local import environment, sample
from estafette_local.environment import Options
from estafette_local.forge import FakeForge
from estafette_local.local_run import RunError, console, note, port_for, run, stage_runtime, stay
from estafette_local.log_view import LogView
from estafette_local.people import Delivery, GitRepository, Person, push_delivery
from estafette_local.stack import Stack
from estafette_local.waiting import eventually

APPEARS_WITHIN = 60.0
"""Seconds from the push until its build must be there."""

SETTLES_WITHIN = 60.0
"""Seconds from the end of the log until the build must have its final status."""

TOLD_WITHIN = 10.0
"""Seconds from the end of the build until the forge should know."""

RESULTS = {"succeeded": ("✔", "bold green"), "failed": ("✘", "bold red")}


def main() -> int:
    """Return 0 when the build succeeded."""
    arguments = _arguments()
    runtime = stage_runtime(arguments.stages)
    forge = FakeForge()
    options = Options(
        stage_runtime=runtime,
        ports={"web": port_for("web", arguments.port)},
        github_api_url=forge.url,
        github_token="a-token-of-the-demo",  # noqa: S106  the forge of the demo takes any
    )
    started = time.monotonic()
    note("starting NATS, PostgreSQL and every service on loopback …")
    with Stack(arguments.data, options) as stack:
        note(f"everything is ready after {time.monotonic() - started:.1f} s; data and logs are in {stack.data}")
        build = asyncio.run(_push_and_watch(stack, forge))
        page = f"{stack.url('web')}/pipelines/{_pipeline(build)}/builds/{build['id']}"
        note(f"the page: {page}")
        if sys.stdout.isatty():
            stay()
    return 0 if build["buildStatus"] == "succeeded" else 1


async def _push_and_watch(stack: Stack, forge: FakeForge) -> dict[str, Any]:
    """Push a new commit of the sample project, show its build's log and return the build as it ended."""
    repository = GitRepository(stack.places.repositories, "acme", "shop")
    message = "Sell eggs"
    revision = repository.commit(sample.project(environment.kept_secret_key(stack.data)), message=message)
    delivery = push_delivery(
        sample.push_payload(), repository, revision=revision, secret=stack.webhook_secret, message=message
    )
    async with forge, aiohttp.ClientSession() as http:
        person = Person(http, ingress=stack.url("webhook-ingress"), api=stack.url("api"))
        await _deliver(person, delivery, repository, revision)
        pushed = time.monotonic()
        build = await _appears(stack, person, repository, revision)
        view = LogView(console)
        console.print()
        async for told in person.watch(build):
            if told.event == "log":
                view.show(told.data)
        console.print()
        build = await _settles(stack, person, repository, revision)
        states = await _told(forge, revision)
    sign, style = RESULTS.get(build["buildStatus"], ("■", "bold yellow"))
    console.print(
        f"{sign} {_pipeline(build)} {build['buildVersion']} {build['buildStatus']} "
        f"{time.monotonic() - pushed:.1f} s after the push, {view.lines} lines of log",
        style=style,
    )
    note(f"commit statuses that the forge received: {', '.join(states) or 'none'}")
    return build


async def _deliver(person: Person, delivery: Delivery, repository: GitRepository, revision: str) -> None:
    note(f"pushing {repository.full_name}@{revision[:7]}: GitHub's own sample of a push, signed with the shared secret")
    status = await person.deliver(delivery)
    if status not in range(200, 300):
        raise RunError(f"webhook-ingress refused the push with status {status}")


async def _appears(stack: Stack, person: Person, repository: GitRepository, revision: str) -> dict[str, Any]:
    try:
        return await eventually(lambda: _build(person, repository, revision), within=APPEARS_WITHIN)
    except AssertionError:
        raise RunError(stack.explain(f"no build {APPEARS_WITHIN:.0f} s after the push", "manifest-planner")) from None


async def _settles(stack: Stack, person: Person, repository: GitRepository, revision: str) -> dict[str, Any]:
    async def final() -> dict[str, Any]:
        build = await _build(person, repository, revision)
        return build if build["buildStatus"] in FINAL else {}

    try:
        return await eventually(final, within=SETTLES_WITHIN)
    except AssertionError:
        raise RunError(stack.explain("the build's log ended, but not the build", "manifest-planner")) from None


async def _told(forge: FakeForge, revision: str) -> list[str]:
    """Return the states that the forge was told of the revision, once it knows the end or it took too long."""
    with suppress(AssertionError):
        await eventually(lambda: set(forge.states(revision)) - {"pending"}, within=TOLD_WITHIN)
    return forge.states(revision)


async def _build(person: Person, repository: GitRepository, revision: str) -> dict[str, Any]:
    """Return the build of the revision, or nothing yet."""
    builds = await person.builds(repository)
    return next((build for build in builds if build["repoRevision"] == revision), {})


def _pipeline(build: dict[str, Any]) -> str:
    return f"{build['repoSource']}/{build['repoOwner']}/{build['repoName']}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="Start everything, push a commit, show its build live.")
    parser.add_argument("--data", type=Path, default=Path(".estafette"), help="folder of everything that is kept")
    parser.add_argument("--port", type=int, help="port of the page (default: 8080, or a free one)")
    parser.add_argument(
        "--stages", choices=("docker", "process"), help="how stages run (default: in Docker when it is there)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run(main))
