"""Why there is a build or none, asked from the command line of the whole system."""

import asyncio
import sys
from collections.abc import Callable

from estafette_local.people import Delivery, GitRepository, Person
from estafette_local.stack import Stack
from estafette_local.waiting import eventually

Push = Callable[..., tuple[str, Delivery]]

MANIFEST = """\
stages:
  greet: {image: "busybox:latest", commands: [echo hello]}
releases:
  tooling:
    triggers: [{pipeline: {name: self}}]
    stages:
      deploy: {image: "busybox:latest", commands: [echo released]}
"""


async def why(stack: Stack, *arguments: str) -> tuple[int, str]:
    """Run `estafette why`; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "cli", "why", *arguments, "--api-url", stack.url("api"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_a_revision_without_a_manifest_says_so(
    stack: Stack, person: Person, repository: GitRepository, push: Push
) -> None:
    revision, delivery = push({"README": "the shop\n"})
    await person.deliver(delivery)
    pipeline = f"github.com/{repository.full_name}"

    async def decided() -> str | None:
        code, told = await why(stack, "--pipeline", pipeline, "--revision", revision[:8])
        return told if code == 0 and "push ignored" in told else None

    told = await eventually(decided, within=30)

    assert f"{pipeline} {revision[:8]}  push ignored: there is no .estafette.yaml at {revision}\n" in str(told)


async def test_a_delivery_tells_of_its_build_and_of_the_release_that_the_build_led_to(
    stack: Stack, person: Person, push: Push
) -> None:
    _, delivery = push({".estafette.yaml": MANIFEST})
    await person.deliver(delivery)

    async def released() -> str | None:
        _, told = await why(stack, "--delivery", delivery.id)
        return told if "release tooling" in told else None

    lines = str(await eventually(released, within=60)).splitlines()

    assert len(lines) == 4
    assert lines[0].endswith("push started: push to main")
    assert "finished, succeeded" in lines[2]


async def test_a_delivery_that_never_came_is_said_to_be_unknown(stack: Stack) -> None:
    assert await why(stack, "--delivery", "7") == (1, "delivery 7 was never heard of, or is no longer kept\n")
