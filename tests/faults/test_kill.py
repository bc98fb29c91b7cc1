"""Any part may be killed in the middle of a build: it still ends succeeded, once, with a complete log."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_local.environment import SERVICES
from estafette_local.forge import FakeForge
from estafette_local.people import Delivery, GitRepository, Person, Told, build_path
from estafette_local.stack import Stack
from estafette_local.waiting import eventually

Push = Callable[..., tuple[str, Delivery]]

COUNT = 200


class Held:
    """A build whose stage printed half of its lines and waits."""

    def __init__(
        self, stack: Stack, person: Person, repository: GitRepository, forge: FakeForge, revision: str
    ) -> None:
        self.stack = stack
        self._person = person
        self._repository = repository
        self._forge = forge
        self._revision = revision
        self._go = stack.data / f"go-{repository.name}"

    @property
    def manifest(self) -> str:
        return manifest(self._go)

    async def build(self) -> dict[str, Any]:
        [build] = await self._person.builds(self._repository)
        return build

    async def wait_until_half(self) -> None:
        """Wait until the first half of the lines is stored."""

        async def look() -> bool:
            return str(COUNT) in await self.stored()

        await eventually(look, within=30)

    async def stored(self) -> list[str]:
        build = await self.build()
        log = await self._person.get(f"{build_path(build)}/logs")
        found = [step for step in log["steps"] if step["step"] == "hold"]
        return [line["text"].rstrip("\n") for step in found for line in step["logLines"]]

    async def release_and_check(self, *, attempt: int = 1) -> None:
        """Let the stage go on, and check that all is as if nothing had happened."""
        self._go.touch()

        async def ended() -> dict[str, Any] | None:
            build = await self.build()
            return build if build["buildStatus"] in {"succeeded", "failed"} else None

        build = await eventually(ended, within=60)
        assert build is not None
        assert (build["buildStatus"], build["outcome"], build["attempt"]) == ("succeeded", "succeeded", attempt)
        expected = [str(number) for number in range(1, 2 * COUNT + 1)]
        told: list[Told] = [each async for each in self._person.watch(build) if each.event == "log"]
        streamed = [each.data["logLine"] for each in told if each.data["step"] == "hold" and "logLine" in each.data]
        assert [line["text"].rstrip("\n") for line in streamed if line["text"][0].isdigit()] == expected
        assert [line["line"] for line in streamed] == list(range(1, len(streamed) + 1))

        async def whole() -> bool:
            return [line for line in await self.stored() if line[0].isdigit()] == expected

        await eventually(whole, within=30)
        await eventually(lambda: self._forge.states(self._revision) == ["pending", "success"], within=30)


def manifest(go: Path) -> str:
    return f"""\
stages:
  hold:
    image: busybox:latest
    commands:
    - seq 1 {COUNT}
    - until [ -e {go} ]; do sleep 0.05; done
    - seq {COUNT + 1} {2 * COUNT}
"""


@pytest.fixture
async def held(stack: Stack, person: Person, repository: GitRepository, forge: FakeForge, push: Push) -> Held:
    go = stack.data / f"go-{repository.name}"
    revision, delivery = push({".estafette.yaml": manifest(go)})
    held = Held(stack, person, repository, forge, revision)
    assert await person.deliver(delivery) == 200
    await held.wait_until_half()
    return held


@pytest.mark.parametrize("service", sorted(SERVICES))
async def test_a_build_survives_the_death_of_every_replica_of(service: str, held: Held) -> None:
    for replica in range(2):
        held.stack.kill(service, replica)
    for replica in range(2):
        held.stack.wait_ready(service, replica)

    await held.release_and_check()


async def test_a_build_survives_the_death_of_its_builder_as_a_new_attempt(held: Held) -> None:
    build = await held.build()
    folder = held.stack.data / "jobs" / f"build-{build['id']}"
    pid = int((folder / "pid").read_text().split()[0])

    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: (folder / "attempt").read_text() == "2", within=20)

    await held.release_and_check(attempt=2)


async def test_a_build_survives_the_death_of_the_builder_host(held: Held) -> None:
    held.stack.kill("builder-host")
    held.stack.wait_ready("builder-host")

    await held.release_and_check()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_a_build_survives_a_restart_of_nats(held: Held, how: signal.Signals) -> None:
    held.stack.kill("nats", how=how)

    await held.release_and_check()


async def test_a_build_survives_a_restart_of_the_database(held: Held) -> None:
    held.stack.kill("postgres", how=signal.SIGINT)

    await held.release_and_check()


async def test_a_push_survives_the_death_of_planners_and_dispatchers_that_have_it_in_hand(
    stack: Stack, person: Person, repository: GitRepository, forge: FakeForge, push: Push
) -> None:
    go = stack.data / f"go-{repository.name}"
    revision, delivery = push({".estafette.yaml": manifest(go)})
    held = Held(stack, person, repository, forge, revision)

    assert await person.deliver(delivery) == 200
    for service in ("manifest-planner", "job-dispatcher"):
        for replica in range(2):
            stack.kill(service, replica)
    await held.wait_until_half()

    await held.release_and_check()


async def test_a_build_whose_job_is_gone_is_lost_and_says_why(
    stack: Stack, person: Person, repository: GitRepository, forge: FakeForge, push: Push
) -> None:
    go = stack.data / f"go-{repository.name}"
    revision, delivery = push({".estafette.yaml": manifest(go)})
    held = Held(stack, person, repository, forge, revision)
    assert await person.deliver(delivery) == 200
    await held.wait_until_half()
    build = await held.build()

    await LocalRuntime(stack.places.builder_socket).remove(f"build-{build['id']}")

    async def lost() -> dict[str, Any] | None:
        found = await held.build()
        return found if found["outcome"] == "lost" else None

    found = await eventually(lost, within=60)
    assert found is not None
    assert (found["buildStatus"], "there is no job behind it" in found["reason"]) == ("failed", True)
    await eventually(lambda: forge.states(revision) == ["pending", "error"])
