import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import nats
import pytest
from estafette_common.bus.messages.commands import Lose
from estafette_common.bus.messages.events import Cleaned
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.topology import Consumer, declare
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import PlannedStage
from estafette_common.jobs.runtimes import JobSpec
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_local.people import GitRepository
from estafette_local.plans import plan
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from hanging_job_cleaner.requests import BEFORE_A_JOB
from nats.js import JetStreamContext

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

    dispatcher = DISPATCHER.durable

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
        only = PlannedStage(name="only", image="busybox:latest", commands=commands)
        url = f"file://{self._repository.path}"
        job = plan(job_id=job_id, revision=self._revision, clone_url=url, stages=(only,))
        await self.runtime.start(JobSpec(plan=job, key=bytes(32)))
        return job.job_name

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

    def environment(self, **settings: str) -> dict[str, str]:
        """Return what a process that speaks with it is started with."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
        ours = {"NATS_URL": self._nats_url, "LOCAL_SOCKET": str(self.socket)} | settings
        return inherited | {f"ESTAFETTE_{name}": value for name, value in ours.items()}

    def start(self) -> None:
        environment = self.environment(
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


async def _done(act: Callable[[], Awaitable[object]]) -> bool:
    await act()
    return True
