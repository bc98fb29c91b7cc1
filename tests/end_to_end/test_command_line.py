"""What people do from the command line, against the whole system."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import pytest
from estafette_local.people import GitRepository, Person
from estafette_local.stack import Stack
from estafette_local.waiting import eventually

MANIFEST = """\
version: {custom: {labelTemplate: "2.{{auto}}"}}
stages:
  greet:
    image: busybox:latest
    commands:
    - echo hello from ${ESTAFETTE_BUILD_VERSION}
"""

SLOW = MANIFEST.replace("echo hello from ${ESTAFETTE_BUILD_VERSION}", "echo begun; sleep 300")

FAILING = MANIFEST.replace("echo hello", "test -e /nowhere || exit 3; echo hello")

Command = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def estafette(stack: Stack, repository: GitRepository) -> Command:
    """Run `estafette` for the test's pipeline; returns its exit code and what it printed."""

    async def run(*arguments: str) -> tuple[int, str]:
        environment = {
            **os.environ,
            "ESTAFETTE_NATS_URL": stack.places.nats_url,
            "ESTAFETTE_NATS_CREDENTIALS": str(stack.places.nats_credentials),
            "ESTAFETTE_API_URL": stack.url("api"),
        }
        of_all = arguments == ("status",) or arguments[0] == "cancel"
        of_pipeline = () if of_all else ("--pipeline", f"github.com/{repository.full_name}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "cli", *arguments, *of_pipeline,
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    return run


async def test_a_branch_is_built_and_its_log_followed(estafette: Command, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": MANIFEST})

    code, output = await estafette("trigger", "--branch", "main", "--follow")

    assert code == 0, output
    assert "greet | hello from 2.1\n" in output
    assert output.endswith("build 2.1 succeeded\n")
    assert "hello from 2.1" in (await estafette("logs", "2.1"))[1]
    code, listed = await estafette("status", "--most", "10")
    assert [line.split()[:3] for line in listed.splitlines()] == [
        ["version", "status", "branch"],
        ["2.1", "succeeded", "main"],
    ]


async def test_a_build_that_runs_is_canceled(estafette: Command, repository: GitRepository, person: Person) -> None:
    repository.commit({".estafette.yaml": SLOW})
    _, output = await estafette("trigger", "--branch", "main")
    build_id = output.split()[-1]

    async def begun() -> bool:
        return "begun" in (await estafette("logs", build_id))[1]

    await eventually(begun, within=60)

    code, output = await estafette("cancel", build_id)

    assert (code, output) == (0, "build 2.1 is canceling\n")

    async def canceled() -> bool:
        [build] = await person.builds(repository)
        return bool(build["buildStatus"] == "canceled")

    await eventually(canceled, within=40)
    assert (await estafette("cancel", build_id))[1] == "build 2.1 is canceled\n"


async def test_a_version_that_failed_is_built_once_more(estafette: Command, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": FAILING})
    code, output = await estafette("trigger", "--branch", "main", "--follow")
    assert code == 1, output

    code, output = await estafette("rebuild", "2.1", "--follow")

    assert code == 1
    assert output.startswith("build 2.1 is pending")
    _, listed = await estafette("status", "--most", "10")
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [["2.1", "failed"], ["2.1", "failed"]]


async def test_a_version_that_failed_goes_on_at_the_stage_that_failed(
    estafette: Command, repository: GitRepository
) -> None:
    make = "{image: 'busybox:latest', commands: [echo made], resumable: true}"
    repository.commit({".estafette.yaml": FAILING.replace("stages:", f"stages:\n  make: {make}")})
    code, output = await estafette("trigger", "--branch", "main", "--follow")
    assert (code, "made" in output) == (1, True), output

    code, output = await estafette("rebuild", "2.1", "--from-failed", "--follow")

    assert code == 1
    assert "goes on in the workspace of build" in output
    assert "make | succeeded in an earlier attempt and is resumable: not run again" in output


async def test_a_version_is_released(estafette: Command, repository: GitRepository) -> None:
    job = "{stages: {deploy: {image: 'busybox:latest', commands: [echo deployed]}}}"
    repository.commit({".estafette.yaml": f"{MANIFEST}releases: {{production: {job}}}\nbots: {{tidy: {job}}}\n"})
    await estafette("trigger", "--branch", "main", "--follow")

    code, output = await estafette("release", "production")
    assert (code, output.rsplit(" ", 1)[0]) == (0, "release of 2.1 to production is pending, id")
    code, output = await estafette("bot", "tidy")
    assert (code, output.rsplit(" ", 1)[0]) == (0, "run of tidy is pending, id")
    code, output = await estafette("release", "staging")
    assert code == 1
    assert "production" in output


async def test_the_whole_system_fits_on_a_screen(estafette: Command, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    await estafette("trigger", "--branch", "main", "--follow")

    code, output = await estafette("status")

    assert code == 0, output
    begins = [line.split("  ")[0].strip() for line in output.splitlines()[:7]]
    assert begins == ["builds", "releases", "bots", "last day", "waiting", "dead", "kept"]
    assert [f"github.com/{repository.full_name}", "2.1", "succeeded"] in [
        line.split()[:3] for line in output.splitlines()
    ]
    assert len(output.splitlines()) < 24


async def test_what_cannot_be_done_says_why(estafette: Command, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": MANIFEST})

    assert await estafette("trigger", "--branch", "nowhere") == (
        1,
        f"github.com/{repository.full_name} has no branch nowhere\n",
    )
    assert await estafette("cancel", "1") == (1, "there is no build 1\n")
