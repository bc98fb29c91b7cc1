"""Jobs that exclude each other, through real NATS, PostgreSQL and git, with two replicas of the planner."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import nats
import pytest
from aiohttp import web
from estafette_common.bus.messages.commands import Answer, Cancel, StartBot, StartRelease
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.jobs import JobFinished
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.requesting import Requester
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Repository
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from manifest_planner.app import create_app
from manifest_planner.settings import Settings
from nats.aio.client import Client

STAGES = "stages: {test: {image: busybox, commands: [make]}}"
RUNS = f"releases: {{staging: {{{STAGES}}}, production: {{{STAGES}}}}}\nbots: {{tidy: {{{STAGES}}}}}"
SHOP = Repository(source="github.com", owner="acme", name="shop")


class Scene:
    """A planner without a dispatcher: jobs end when the test says so."""

    def __init__(
        self, client: Client, publisher: JetStreamPublisher, database: asyncpg.Connection, repository: GitRepository
    ) -> None:
        self.database = database
        self.requester = Requester(client, source="test")
        self._client = client
        self._publisher = publisher
        self._repository = repository

    async def push(self, concurrency: str = "", *, branch: str = "main") -> str:
        """Push a manifest, wait until it is decided on, and return the id of its build."""
        before = await self.database.fetchval("SELECT count(*) FROM decisions WHERE subject_kind = 'push'")
        manifest = f"concurrency: {concurrency}\n{STAGES}\n{RUNS}" if concurrency else f"{STAGES}\n{RUNS}"
        revision = self._repository.commit({".estafette.yaml": manifest}, branch=branch)
        push = GitPushed(repository=SHOP, ref=f"refs/heads/{branch}", revision=revision)
        await self._publisher.publish(push, id=str(uuid4()))
        await eventually(lambda: self._decided(before + 1), within=20)
        build_id: str = await self.database.fetchval("SELECT id FROM builds ORDER BY counter DESC LIMIT 1")
        return build_id

    async def built(self, concurrency: str = "") -> str:
        """Push a manifest and let its build succeed; return the id of that."""
        build_id = await self.push(concurrency)
        await self.end(build_id)
        await eventually(lambda: self._succeeded(build_id))
        return build_id

    async def release(self, target: str) -> Answer:
        """Ask for a release of the newest build."""
        return await self.requester.ask(StartRelease(repository=SHOP, target=target), id=str(uuid4()), within=10)

    async def bot(self) -> Answer:
        """Ask for a run of the bot."""
        return await self.requester.ask(StartBot(repository=SHOP, bot="tidy"), id=str(uuid4()), within=10)

    async def end(self, job_id: str, outcome: Outcome = Outcome.SUCCEEDED, *, kind: Kind = Kind.BUILD) -> None:
        ended = JobFinished(kind=kind, job_id=job_id, attempt=1, outcome=outcome, time=datetime.now(UTC))
        await self._publisher.publish(ended, id=f"{job_id}-finished")

    async def requested(self) -> list[str]:
        """Return the ids of the jobs whose job was requested, in that order."""
        jetstream = self._client.jetstream()
        state = (await jetstream.stream_info("JOBS")).state
        messages = [await jetstream.get_msg("JOBS", number) for number in range(1, state.last_seq + 1)]
        subjects = [each.subject or "" for each in messages]
        return [each.split(".")[2] for each in subjects if each.endswith(".requested")]

    async def statuses(self, table: str = "builds") -> dict[str, str]:
        return {row["id"]: row["status"] for row in await self.database.fetch(f"SELECT id, status FROM {table}")}

    async def waits_for(self, job_id: str, table: str = "builds") -> str:
        found: str = await self.database.fetchval(f"SELECT waits_for FROM {table} WHERE id = $1", job_id)
        return found

    async def decisions(self, build_id: str) -> list[str]:
        rows = await self.database.fetch(
            "SELECT decision FROM decisions WHERE job_id = $1 ORDER BY decided_at", build_id
        )
        return [row["decision"] for row in rows]

    async def _succeeded(self, build_id: str) -> bool:
        return (await self.statuses())[build_id] == "succeeded"

    async def _decided(self, count: int) -> bool:
        found = await self.database.fetchval("SELECT count(*) FROM decisions WHERE subject_kind = 'push'")
        return bool(found == count)


Start = Callable[..., Awaitable[Scene]]


@pytest.fixture
async def start(nats_server: NatsServer, database_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Start two replicas of the planner with some settings."""
    runners: list[web.AppRunner] = []
    client = await nats.connect(nats_server.url)
    database = await asyncpg.connect(database_url)

    async def run(**changes: Any) -> Scene:
        settings = Settings(
            nats_url=nats_server.url,
            database_url=database_url,
            secret_key=base64.b64encode(os.urandom(32)).decode(),
            clone_url=f"file://{tmp_path}/repositories/{{owner}}/{{name}}.git",
            cache_dir=tmp_path / "cache",
            **changes,
        )
        for _ in range(2):
            runners.append(web.AppRunner(create_app(settings)))
            await runners[-1].setup()
        await eventually(lambda: client.jetstream().consumer_info("COMMANDS", "planner-release-start"), within=20)
        publisher = JetStreamPublisher(client, source="test")
        await publisher.start()
        return Scene(client, publisher, database, GitRepository(tmp_path / "repositories", "acme", "shop"))

    yield run
    for runner in runners:
        await runner.cleanup()
    await database.close()
    await client.close()


async def test_without_a_policy_all_begin(start: Start) -> None:
    scene = await start()

    builds = [await scene.push() for _ in range(2)]

    assert await scene.requested() == builds


async def test_a_queue_requests_one_after_the_other_and_says_what_is_waited_for(start: Start) -> None:
    scene = await start()
    first, second, third = [await scene.push("{policy: queue-all}") for _ in range(3)]
    assert await scene.requested() == [first]
    assert await scene.waits_for(second) == "waits until build 0.0.1 has ended"
    assert await scene.waits_for(third) == "waits for build 0.0.2, which came before it"
    assert await scene.decisions(second) == ["waiting"]

    await scene.end(first)

    await eventually(lambda: _equal(scene.requested, [first, second]))
    await scene.end(second, Outcome.FAILED)
    await eventually(lambda: _equal(scene.requested, [first, second, third]))
    assert await scene.waits_for(third) == ""
    await eventually(lambda: _equal(lambda: scene.decisions(second), ["waiting", "started"]))


async def test_branches_wait_for_each_other_only_in_a_common_group(start: Start) -> None:
    scene = await start()
    builds = [await scene.push("{policy: queue-all}", branch=branch) for branch in ("main", "feature")]
    assert await scene.requested() == builds

    deploy = "{group: deploy, policy: queue-all}"
    common = [await scene.push(deploy, branch=branch) for branch in ("main", "feature")]

    assert await scene.requested() == [*builds, common[0]]


async def test_of_those_that_wait_only_the_latest_is_built(start: Start) -> None:
    scene = await start()
    first, second, third = [await scene.push("{policy: queue-latest}") for _ in range(3)]
    await eventually(lambda: _equal(scene.statuses, {first: "pending", second: "canceled", third: "pending"}))

    await scene.end(first)

    await eventually(lambda: _equal(scene.requested, [first, third]))
    await eventually(lambda: _equal(lambda: scene.decisions(second), ["waiting", "superseded"]))


async def test_a_newer_build_begins_when_those_that_it_supersedes_are_gone(start: Start) -> None:
    scene = await start()
    first, second = [await scene.push("{policy: cancel-superseded}") for _ in range(2)]
    await eventually(lambda: _equal(scene.statuses, {first: "canceling", second: "pending"}))
    assert await scene.requested() == [first]

    await scene.end(first, Outcome.CANCELED)

    await eventually(lambda: _equal(scene.requested, [first, second]))
    assert (await scene.statuses())[first] == "canceled"
    reason = await scene.database.fetchval("SELECT reason FROM builds WHERE id = $1", first)
    assert reason == "superseded by build 0.0.2"


async def test_the_server_decides_where_the_manifest_does_not(start: Start) -> None:
    scene = await start(concurrency_policy="queue-all")

    first, _ = [await scene.push() for _ in range(2)]

    assert await scene.requested() == [first]


async def test_all_builds_together_are_limited(start: Start) -> None:
    scene = await start(most_running_builds=2)
    builds = [await scene.push(branch=branch) for branch in ("a", "b", "c")]
    assert await scene.requested() == builds[:2]
    assert await scene.waits_for(builds[2]) == "waits until one of the 2 jobs that run has ended"

    await scene.end(builds[1])

    await eventually(lambda: _equal(scene.requested, builds))


async def test_a_build_that_waits_can_be_canceled_and_lets_the_next_one_pass(start: Start) -> None:
    scene = await start()
    first, second, third = [await scene.push("{policy: queue-all}") for _ in range(3)]

    answer = await scene.requester.ask(Cancel(kind=Kind.BUILD, job_id=second), id="1", within=10)

    assert answer.status == "canceled"
    await scene.end(first)
    await eventually(lambda: _equal(scene.requested, [first, third]))


async def test_a_queue_is_worked_off_however_often_an_end_is_told(start: Start) -> None:
    scene = await start()
    builds = [await scene.push("{policy: queue-all}") for _ in range(6)]

    for place, build_id in enumerate(builds):
        await eventually(partial(_equal, scene.requested, builds[: place + 1]))
        await asyncio.gather(*(scene.end(build_id) for _ in range(3)))

    await eventually(lambda: _equal(scene.statuses, dict.fromkeys(builds, "succeeded")))


async def test_releases_to_a_target_wait_for_each_other_and_other_targets_do_not(start: Start) -> None:
    scene = await start()
    build = await scene.built("{policy: queue-all}")

    first, second = [await scene.release("staging") for _ in range(2)]
    other = await scene.release("production")

    assert (first.status, second.status) == ("pending", "pending")
    assert second.message == "waits until release 0.0.1 to staging has ended"
    assert await scene.waits_for(second.job_id or "", "releases") == second.message
    assert await scene.requested() == [build, first.job_id, other.job_id]
    await scene.end(first.job_id or "", kind=Kind.RELEASE)
    await eventually(lambda: _equal(scene.requested, [build, first.job_id, other.job_id, second.job_id]))
    await eventually(lambda: _equal(lambda: scene.decisions(second.job_id or ""), ["waiting", "started"]))


async def test_a_release_that_runs_is_not_broken_off_for_a_newer_one_but_those_that_wait_are(start: Start) -> None:
    scene = await start()
    await scene.built("{policy: cancel-superseded}")

    ids = [(await scene.release("staging")).job_id or "" for _ in range(3)]

    expected = dict(zip(ids, ["pending", "canceled", "pending"], strict=True))
    await eventually(lambda: _equal(lambda: scene.statuses("releases"), expected))
    assert await scene.waits_for(ids[2], "releases") == "waits until release 0.0.1 to staging has ended"


async def test_every_run_of_a_bot_has_its_turn(start: Start) -> None:
    scene = await start()
    build = await scene.built("{policy: queue-latest}")
    ids = [(await scene.bot()).job_id or "" for _ in range(3)]
    assert await scene.requested() == [build, ids[0]]

    for place, run in enumerate(ids):
        await eventually(partial(_equal, scene.requested, [build, *ids[: place + 1]]))
        await scene.end(run, kind=Kind.BOT)

    await eventually(lambda: _equal(lambda: scene.statuses("bots"), dict.fromkeys(ids, "succeeded")))


async def test_jobs_of_every_kind_wait_for_each_other_in_a_group_that_the_manifest_names(start: Start) -> None:
    scene = await start()
    concurrency = "{group: database, policy: queue-all}"
    await scene.built(concurrency)
    running = await scene.push(concurrency)

    release, run = await scene.release("staging"), await scene.bot()

    assert release.message == "waits until build 0.0.2 has ended"
    assert run.message == "waits for release 0.0.1 to staging, which came before it"
    await scene.end(running)
    await eventually(lambda: _requested_last(scene, release.job_id))
    await scene.end(release.job_id or "", Outcome.FAILED, kind=Kind.RELEASE)
    await eventually(lambda: _requested_last(scene, run.job_id))


async def test_releases_and_bots_count_for_the_limit_of_all(start: Start) -> None:
    scene = await start(most_running_builds=2)
    await scene.built()
    release, run = await scene.release("staging"), await scene.bot()

    build = await scene.push(branch="feature")

    assert await scene.waits_for(build) == "waits until one of the 2 jobs that run has ended"
    await scene.end(run.job_id or "", kind=Kind.BOT)
    await eventually(lambda: _requested_last(scene, build))
    again = await scene.release("staging")
    assert again.message == "waits until one of the 2 jobs that run has ended"
    await scene.end(release.job_id or "", kind=Kind.RELEASE)
    await eventually(lambda: _requested_last(scene, again.job_id))


async def test_a_run_of_a_bot_that_waits_can_be_canceled_and_lets_the_next_one_pass(start: Start) -> None:
    scene = await start()
    build = await scene.built("{policy: queue-all}")
    first, second, third = [(await scene.bot()).job_id or "" for _ in range(3)]

    answer = await scene.requester.ask(Cancel(kind=Kind.BOT, job_id=second), id="1", within=10)

    assert answer.status == "canceled"
    await scene.end(first, kind=Kind.BOT)
    await eventually(lambda: _equal(scene.requested, [build, first, third]))


async def _requested_last(scene: Scene, job_id: str | None) -> bool:
    return (await scene.requested())[-1] == job_id


async def _equal(look: Callable[[], Awaitable[Any]], expected: Any) -> bool:
    seen = await look()
    if seen != expected:
        raise AssertionError(seen)
    return True
