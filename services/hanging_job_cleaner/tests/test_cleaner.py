import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import nats
import pytest
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.commands import Lose
from estafette_common.bus.messages.events import Cleaned, CleaningAction
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.topology import Consumer, declare
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.jobs.runtimes import JobSpec, RuntimeUnavailableError
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from hanging_job_cleaner.builds import Builds
from hanging_job_cleaner.cleaner import Cleaner
from hanging_job_cleaner.reconciling import BuildState, Limits
from hanging_job_cleaner.requests import BEFORE_A_JOB, Requests
from nats.js import JetStreamContext

LIMITS = Limits(grace=1.0, keep_finished=30.0, keep_namespaces=7_000.0)
DISPATCHER = Consumer(durable="dispatcher-job-requested", message=JobRequested)
PLANNER = [Consumer(durable=durable, message=message) for message, durable in BEFORE_A_JOB[1:]]

INSERT = """
    INSERT INTO builds (
        id, source, owner, name, branch, revision, counter, version, status, labels, manifest, commits, trigger_events,
        inserted_at, dispatched_at, heartbeat_at, finished_at
    ) VALUES (
        $1, 'github.com', 'acme', 'shop', 'main', 'c', $2, '1.0.0', $3, '[]', '', '[]', '[]',
        now() - $4 * interval '1 second', now() - $5 * interval '1 second', now() - $6 * interval '1 second',
        now() - $7 * interval '1 second'
    )
"""


INSERT_OTHER = {
    Kind.RELEASE: """
    INSERT INTO releases (
        id, source, owner, name, target, action, version, build_id, status, trigger_events, hops, inserted_at,
        heartbeat_at
    ) VALUES (
        $1, 'github.com', 'acme', 'shop', 'production', '', '1.0.0', '1', 'running', '[]', 0,
        now() - 1000 * interval '1 second', now() - $2 * interval '1 second'
    )
    """,
    Kind.BOT: """
    INSERT INTO bots (
        id, source, owner, name, bot, build_id, status, trigger_events, hops, inserted_at, heartbeat_at
    ) VALUES (
        $1, 'github.com', 'acme', 'shop', 'tidy', '1', 'running', '[]', 0,
        now() - 1000 * interval '1 second', now() - $2 * interval '1 second'
    )
    """,
}


class Scene:
    """Builds in the database, jobs on the host, requests on the bus; ages are in seconds."""

    def __init__(self, folder: Path, connection: Any, jetstream: JetStreamContext, runtime: LocalRuntime) -> None:
        self.jetstream = jetstream
        self.runtime = runtime
        self._connection = connection
        self._count = 0
        self._repository = GitRepository(folder / "git", "acme", "shop")
        self._revision = self._repository.commit({"README": "shop\n"})

    async def build(
        self,
        status: str,
        *,
        inserted: float = 1000.0,
        dispatched: float | None = None,
        heartbeat: float | None = None,
        finished: float | None = None,
        requested: bool = True,
    ) -> str:
        """Insert a build and, for the dispatcher to have handled long ago, its request; returns its id."""
        self._count += 1
        build_id = str(uuid4().int >> 65)
        await self._connection.execute(INSERT, build_id, self._count, status, inserted, dispatched, heartbeat, finished)
        if requested:
            await self.jetstream.publish(f"job.build.{build_id}.requested", b"{}")
            reader = await self.jetstream.pull_subscribe_bind(DISPATCHER.durable, "JOBS")
            [request] = await reader.fetch(1)
            await request.ack_sync()
        return build_id

    async def other(self, kind: Kind, *, heartbeat: float) -> str:
        """Insert a running release or bot that was requested long ago; returns its id."""
        job_id = str(uuid4().int >> 65)
        await self._connection.execute(INSERT_OTHER[kind], job_id, heartbeat)
        return job_id

    async def job(self, job_id: str, *commands: str) -> str:
        """Start a job of one stage; returns its name."""
        plan = Plan(
            kind=Kind.BUILD,
            job_id=job_id,
            repository=Repository(source="github.com", owner="acme", name="shop"),
            branch="main",
            revision=self._revision,
            clone_url=f"file://{self._repository.path}",
            version=Version(version="1.0.7", counter=7),
            stages=(PlannedStage(name="only", image="busybox:latest", commands=commands),),
        )
        await self.runtime.start(JobSpec(plan=plan, key=bytes(32)))
        return plan.job_name

    async def jobs(self) -> dict[str, bool]:
        """Return whether each job of the host is alive, by its name."""
        return {job.name: job.alive for job in await self.runtime.jobs()}

    async def events(self) -> list[Cleaned]:
        """Return what the cleaner told, in order."""
        state = (await self.jetstream.stream_info("EVENTS")).state
        messages = [await self.jetstream.get_msg("EVENTS", number) for number in range(1, state.last_seq + 1)]
        return [Cleaned.decode(message.data or b"", {}) for message in messages]

    async def lost(self) -> dict[str, str]:
        """Return the reason of each build that was to be lost."""
        state = (await self.jetstream.stream_info("COMMANDS")).state
        messages = [await self.jetstream.get_msg("COMMANDS", number) for number in range(1, state.last_seq + 1)]
        commands = [Lose.decode(message.data or b"", {}) for message in messages]
        assert len({command.job_id for command in commands}) == len(commands), "a build was lost twice"
        return {command.job_id: command.reason for command in commands}


class Host:
    """The real builder host."""

    def __init__(self, folder: Path, nats_url: str) -> None:
        self.socket = folder / "host.sock"
        self._folder = folder
        self._nats_url = nats_url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = _environment(
            NATS_URL=self._nats_url,
            LOCAL_SOCKET=str(self.socket),
            JOBS_DIR=str(self._folder / "jobs"),
            STAGE_RUNTIME="process",
        )
        with (self._folder / "host.log").open("ab") as output:
            command = [sys.executable, "-P", "-m", "builder", "host"]
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()
            self._process = None


@pytest.fixture
async def host(folder: Path, nats_server: NatsServer) -> AsyncIterator[Host]:
    host = Host(folder, nats_server.url)
    host.start()
    runtime = LocalRuntime(host.socket)
    await eventually(lambda: _done(runtime.jobs), within=20)
    yield host
    if host._process is None:
        host.start()
        await eventually(lambda: _done(runtime.jobs), within=20)
    for job in await runtime.jobs():
        await runtime.remove(job.name)
    host.stop()


@pytest.fixture
async def scene(folder: Path, host: Host, nats_server: NatsServer, database_url: str) -> AsyncIterator[Scene]:
    client = await nats.connect(nats_server.url, max_reconnect_attempts=-1)
    await declare(client.jetstream(), [DISPATCHER, *PLANNER])
    connection = await asyncpg.connect(database_url)
    yield Scene(folder, connection, client.jetstream(), LocalRuntime(host.socket))
    await connection.close()
    await client.close()


@pytest.fixture
async def cleaner(scene: Scene, nats_server: NatsServer, database_url: str) -> AsyncIterator[Cleaner]:
    database, bus = Database(database_url, connections=2), Bus(nats_server.url, source="test")
    await database.start()
    await bus.start()
    yield Cleaner(Builds(database), scene.runtime, Requests(bus), bus, limits=LIMITS, interval=60.0)
    await bus.stop()
    await database.stop()


async def test_a_build_without_a_job_is_lost_once_and_the_reason_is_told(cleaner: Cleaner, scene: Scene) -> None:
    gone = await scene.build("running", dispatched=900, heartbeat=75)
    await scene.build("running", dispatched=900, heartbeat=-60)

    await eventually(lambda: _loses(cleaner, scene))
    for _ in range(3):
        await cleaner.look()

    [(lost, reason)] = (await scene.lost()).items()
    assert lost == gone
    assert reason.startswith("the build is running, there is no job behind it, and nothing was heard of it for 7")


async def test_a_dry_run_tells_each_thing_once_and_mends_nothing(
    scene: Scene, nats_server: NatsServer, database_url: str
) -> None:
    gone = await scene.build("running", dispatched=900, heartbeat=75)
    left = await scene.build("canceled", finished=31)
    name = await scene.job(left, "sleep 300")
    database, bus = Database(database_url, connections=2), Bus(nats_server.url, source="test")
    await database.start()
    await bus.start()
    cleaner = Cleaner(Builds(database), scene.runtime, Requests(bus), bus, limits=LIMITS, interval=60.0, dry_run=True)
    await _silence()

    for _ in range(3):
        await cleaner.look()

    await bus.stop()
    await database.stop()
    told = [(event.job_id, event.action, event.dry_run) for event in await scene.events()]
    assert told == [(gone, CleaningAction.LOST, True), (left, CleaningAction.JOB_REMOVED, True)]
    assert await scene.lost() == {}
    assert await scene.jobs() == {name: True}


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.BOT])
async def test_releases_and_bots_are_lost_as_builds_are(cleaner: Cleaner, scene: Scene, kind: Kind) -> None:
    gone = await scene.other(kind, heartbeat=75)

    await eventually(lambda: _loses(cleaner, scene))

    [(lost, reason)] = (await scene.lost()).items()
    assert lost == gone
    assert reason.startswith(f"the {kind} is running")


async def test_a_build_whose_builder_died_without_a_word_is_lost(cleaner: Cleaner, scene: Scene) -> None:
    gone = await scene.build("running", dispatched=900, heartbeat=75)
    name = await scene.job(gone, "true")
    await eventually(lambda: _is(scene.jobs, {name: False}), within=20)
    await scene.jetstream.purge_stream("JOBS", subject=f"job.build.{gone}.finished")

    await eventually(lambda: _loses(cleaner, scene))
    assert list(await scene.lost()) == [gone]


async def test_a_build_whose_builder_told_its_end_is_left_to_the_planner(cleaner: Cleaner, scene: Scene) -> None:
    ended = await scene.build("running", dispatched=900, heartbeat=75)
    name = await scene.job(ended, "true")
    await eventually(lambda: _is(scene.jobs, {name: False}), within=20)

    await _silence()
    await cleaner.look()

    assert await scene.lost() == {}


async def test_a_build_that_the_planner_has_yet_to_request_is_left_alone(cleaner: Cleaner, scene: Scene) -> None:
    await scene.build("pending", requested=False)
    await scene.jetstream.publish("event.git.push", b"{}")

    await cleaner.look()

    assert await scene.lost() == {}


async def test_a_build_whose_job_lives_is_left_alone_though_it_is_silent(cleaner: Cleaner, scene: Scene) -> None:
    name = await scene.job(await scene.build("running", dispatched=90_000, heartbeat=80_000), "sleep 300")
    await _silence()

    await cleaner.look()

    assert await scene.lost() == {}
    assert await scene.jobs() == {name: True}


async def test_a_pending_build_is_left_alone_until_the_dispatcher_saw_every_request(
    cleaner: Cleaner, scene: Scene
) -> None:
    pending = await scene.build("pending")
    await scene.jetstream.publish("job.build.1.requested", b"{}")
    await _silence()

    await cleaner.look()
    assert await scene.lost() == {}

    reader = await scene.jetstream.pull_subscribe_bind(DISPATCHER.durable, "JOBS")
    [request] = await reader.fetch(1)
    await cleaner.look()
    assert await scene.lost() == {}

    await request.ack_sync()
    await cleaner.look()
    assert list(await scene.lost()) == [pending]


async def test_a_request_handled_during_a_look_makes_no_build_lost(
    scene: Scene, nats_server: NatsServer, database_url: str
) -> None:
    pending = await scene.build("pending")
    await scene.jetstream.publish(f"job.build.{pending}.requested", b"{}")
    await _silence()
    reader = await scene.jetstream.pull_subscribe_bind(DISPATCHER.durable, "JOBS")
    [request] = await reader.fetch(1)

    class DispatcherWakes(Builds):
        """The dispatcher starts the job just when the builds are read."""

        async def active_or_among(self, build_ids: list[str]) -> list[BuildState]:
            await scene.job(pending, "sleep 300")
            await request.ack_sync()
            return await super().active_or_among(build_ids)

    database, bus = Database(database_url, connections=2), Bus(nats_server.url, source="test")
    await database.start()
    await bus.start()
    requests = Requests(bus)
    cleaner = Cleaner(DispatcherWakes(database), scene.runtime, requests, bus, limits=LIMITS, interval=60.0)

    await cleaner.look()

    await bus.stop()
    await database.stop()
    assert await scene.lost() == {}


async def test_the_job_of_a_build_that_ended_is_removed_though_it_still_runs(cleaner: Cleaner, scene: Scene) -> None:
    await scene.job(await scene.build("canceled", finished=31), "sleep 300")
    kept = await scene.job(await scene.build("succeeded", finished=1), "sleep 300")

    await cleaner.look()

    assert await scene.jobs() == {kept: True}
    assert await scene.lost() == {}


async def test_a_job_of_no_build_is_left_alone_while_it_is_young(cleaner: Cleaner, scene: Scene) -> None:
    name = await scene.job("7", "sleep 300")

    await cleaner.look()

    assert await scene.jobs() == {name: True}


async def test_a_host_that_is_away_makes_no_build_lost(cleaner: Cleaner, scene: Scene, host: Host) -> None:
    await scene.build("running", dispatched=900, heartbeat=900)
    host.stop()

    with pytest.raises(RuntimeUnavailableError):
        await cleaner.look()

    assert await scene.lost() == {}


async def test_no_build_is_lost_while_there_is_no_dispatcher_to_ask_about(cleaner: Cleaner, scene: Scene) -> None:
    await scene.build("pending")
    await scene.jetstream.delete_consumer("JOBS", DISPATCHER.durable)

    with pytest.raises(nats.errors.Error):
        await cleaner.look()

    assert await scene.lost() == {}


async def test_replicas_go_on_after_host_and_nats_were_away_and_end_by_sigterm(
    scene: Scene, host: Host, nats_server: NatsServer, database_url: str
) -> None:
    with _processes(2, nats_server, database_url, host) as replicas:
        for replica in replicas:
            await eventually(replica.is_ready, within=30)
        host.stop()
        gone = await scene.build("running", dispatched=900, heartbeat=900)
        nats_server.stop(signal.SIGKILL)
        nats_server.start()
        await eventually(lambda: _done(scene.lost), within=20)
        assert await scene.lost() == {}

        host.start()

        await eventually(lambda: _is(lambda: _lost(scene), [gone]), within=30)
        for replica in replicas:
            assert await replica.is_ready()
            replica.process.send_signal(signal.SIGTERM)
        for replica in replicas:
            await eventually(replica.has_ended)
            assert replica.process.returncode == 0


class Replica:
    """The service as a process."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._url = f"http://127.0.0.1:{environment['ESTAFETTE_PORT']}/readiness"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hanging_job_cleaner"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    async def is_ready(self) -> bool:
        async with aiohttp.ClientSession() as http, http.get(self._url) as answer:
            return answer.status == 200


@contextmanager
def _processes(count: int, nats_server: NatsServer, database_url: str, host: Host) -> Iterator[list[Replica]]:
    replicas = [
        Replica(
            _environment(
                NATS_URL=nats_server.url,
                DATABASE_URL=database_url,
                LOCAL_SOCKET=str(host.socket),
                PORT=str(free_port()),
                CLEAN_INTERVAL="0.2",
                GRACE="1",
            )
        )
        for _ in range(count)
    ]
    try:
        yield replicas
    finally:
        for replica in replicas:
            replica.process.kill()
            replica.process.wait()


def _environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
    return inherited | {f"ESTAFETTE_{name}": value for name, value in settings.items()}


async def _loses(cleaner: Cleaner, scene: Scene) -> bool:
    await cleaner.look()
    return bool(await scene.lost())


async def _silence() -> None:
    """Let the grace pass."""
    clock = asyncio.get_running_loop().time
    end = clock() + LIMITS.grace + 0.1
    await eventually(lambda: clock() > end)


async def _lost(scene: Scene) -> list[str]:
    return list(await scene.lost())


async def _is(look: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await look() == wanted


async def _done(act: Callable[[], Awaitable[object]]) -> bool:
    await act()
    return True
