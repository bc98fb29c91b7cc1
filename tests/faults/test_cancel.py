"""A job that somebody cancels ends canceled, and nothing of it is left, whatever dies meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import nats
import pytest
from estafette_common.bus.messages.commands import Answer, Cancel, StartBuild
from estafette_common.bus.requesting import Requester
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Repository
from estafette_common.jobs.runtimes import JobState
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_local.people import GitRepository, Person
from estafette_local.stack import Stack
from estafette_local.waiting import eventually

DEAF = "stages: {hold: {image: busybox, commands: [\"trap '' TERM; while true; do sleep 1; done\"]}}"
"""A build that does not end when it is asked to."""


class Asker:
    """Somebody who starts and cancels builds of one repository."""

    def __init__(self, stack: Stack, requester: Requester, person: Person, repository: GitRepository) -> None:
        self._stack = stack
        self._requester = requester
        self._person = person
        self._repository = repository
        self._place = Repository(source="github.com", owner=repository.owner, name=repository.name)

    async def start(self) -> str:
        """Start a build; returns its id."""
        self._repository.commit({".estafette.yaml": DEAF})
        start = StartBuild(repository=self._place, branch="main")
        answer = await self._requester.ask(start, id=str(uuid4()), within=30)
        assert answer.job_id is not None, answer.message
        return answer.job_id

    async def cancel(self, build_id: str) -> Answer:
        return await self._requester.ask(Cancel(kind=Kind.BUILD, job_id=build_id), id=str(uuid4()), within=60)

    async def build(self) -> dict[str, Any]:
        [build] = await self._person.builds(self._repository)
        return build

    async def runs(self) -> bool:
        return bool((await self.build())["buildStatus"] == "running")

    async def wait_until_nothing_is_left(self, build_id: str) -> None:
        """Wait until the build is canceled, and see that the runtime, once it answers, has no living job of it."""

        async def canceled() -> bool:
            return bool((await self.build())["buildStatus"] == "canceled")

        await eventually(canceled, within=90)
        [jobs] = await eventually(self._what_the_runtime_has, within=60)
        assert [job for job in jobs if job.job_id == build_id and job.alive] == []

    async def _what_the_runtime_has(self) -> tuple[list[JobState]]:
        return (await LocalRuntime(self._stack.places.builder_socket).jobs(),)


@pytest.fixture
async def asker(stack: Stack, person: Person, repository: GitRepository) -> AsyncIterator[Asker]:
    client = await nats.connect(stack.places.nats_url, user_credentials=str(stack.places.nats_credentials))
    yield Asker(stack, Requester(client, source="test"), person, repository)
    await client.close()


@pytest.mark.parametrize("service", ["manifest-planner", "job-dispatcher", "builder-host", "hanging-job-cleaner"])
async def test_a_canceled_build_ends_whoever_dies(stack: Stack, asker: Asker, service: str) -> None:
    build_id = await asker.start()
    await eventually(asker.runs, within=60)

    asking = asyncio.create_task(asker.cancel(build_id))
    for name, replica in list(stack.processes):
        if name == service:
            stack.kill(service, replica)

    assert (await asking).error is None
    await asker.wait_until_nothing_is_left(build_id)


async def test_a_build_that_no_dispatcher_takes_is_canceled_and_never_begins(stack: Stack, asker: Asker) -> None:
    for replica in range(2):
        stack.stop_one("job-dispatcher", replica)
    try:
        build_id = await asker.start()
        assert (await asker.cancel(build_id)).status == "canceling"
    finally:
        for replica in range(2):
            stack.start_one("job-dispatcher", replica)

    await asker.wait_until_nothing_is_left(build_id)
    assert (await asker.build())["startedAt"] is None
