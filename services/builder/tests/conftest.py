"""A machine with a builder host on real servers, and what its jobs say on the bus."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiodocker
import nats
import pytest
from builder.runtimes import docker
from estafette_common.bus.messages.jobs import JobFinished
from estafette_common.bus.messages.logs import Change, Entry, Line, LogChunk
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.jobs.runtimes import JobSpec, RuntimeUnavailableError
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_local.people import GitRepository
from estafette_local.registry import PROGRAM, Door, Registry, Shelf, door_of, shelf_of
from estafette_local.servers import NatsServer, ServerError
from estafette_local.waiting import eventually
from nats.js import JetStreamContext

KEY = bytes(range(32))
DOCKER_IMAGE = "busybox:latest"


class Machine:
    """Starts builders in folders of its own, as root or not, with NATS there or away."""

    key = KEY

    def __init__(self, root: Path, nats_server: NatsServer, jetstream: JetStreamContext) -> None:
        self.root = root
        self.job_id = str(uuid4().int >> 65)
        """Of the job that is meant where none is named; no other test's, for all share one container engine."""
        self.jobs_folder = root / "jobs"
        self.socket = root / "host.sock"
        self.runtime = LocalRuntime(self.socket)
        self.repository = GitRepository(root / "git", "acme", "shop")
        self.revision = self.repository.commit({"README": "shop\n"})
        self.host: subprocess.Popen[bytes] | None = None
        self._nats_server = nats_server
        self._jetstream = jetstream

    def environment(self, **settings: str) -> dict[str, str]:
        """Return what a builder is started with."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
        ours = {
            "nats_url": self._nats_server.url,
            "local_socket": str(self.socket),
            "jobs_dir": str(self.jobs_folder),
            "stage_runtime": "process",
        } | settings
        return inherited | {f"ESTAFETTE_{name.upper()}": value for name, value in ours.items()}

    async def start_host(self, *, variables: dict[str, str] | None = None, **settings: str) -> None:
        self._start_host(self.environment(**settings) | (variables or {}))
        await eventually(self.answers)

    def _start_host(self, environment: dict[str, str]) -> None:
        with (self.root / "host.log").open("ab") as output:
            self.host = subprocess.Popen(
                [sys.executable, "-m", "builder", "host"], env=environment, stdout=output, stderr=output
            )

    async def answers(self) -> bool:
        await self.runtime.jobs()
        return True

    def stop_host(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        """End the host and return its exit code."""
        if self.host is None:
            return None
        self.host.send_signal(how)
        code, self.host = self.host.wait(), None
        return code

    def plan(self, *stages: PlannedStage, **fields: Any) -> Plan:
        return Plan(
            **{
                "kind": Kind.BUILD,
                "job_id": self.job_id,
                "repository": Repository(source="github.com", owner="acme", name="shop"),
                "branch": "main",
                "revision": self.revision,
                "clone_url": f"file://{self.repository.path}",
                "version": Version(version="1.0.7", counter=7),
                "stages": stages,
            }
            | fields
        )

    async def start(self, *stages: PlannedStage, **fields: Any) -> Plan:
        plan = self.plan(*stages, **fields)
        await self.runtime.start(JobSpec(plan=plan, key=KEY, traceparent=""))
        return plan

    @property
    def job_folder(self) -> Path:
        """The folder of the job."""
        return self.jobs_folder / f"build-{self.job_id}"

    def subject(self, event: str) -> str:
        """Return the subject of an event in the life of the job."""
        return f"job.build.{self.job_id}.{event}"

    def pid(self) -> int:
        """Return the process of the job's builder."""
        return int((self.job_folder / "pid").read_text().split()[0])

    async def finished(self, job_id: str = "", *, within: float = 20) -> JobFinished:
        async def look() -> JobFinished:
            message = await self._jetstream.get_last_msg("JOBS", f"job.build.{job_id or self.job_id}.finished")
            return JobFinished.decode(message.data or b"", {})

        return await eventually(look, within=within)

    async def chunks(self, job_id: str = "") -> list[LogChunk]:
        """Return the chunks of a job's log as they lie in the stream."""
        last = (await self._jetstream.stream_info("LOGS")).state.last_seq
        messages = [await self._jetstream.get_msg("LOGS", sequence) for sequence in range(1, last + 1)]
        chunks = [LogChunk.decode(message.data or b"") for message in messages]
        return [chunk for chunk in chunks if chunk.job_id == (job_id or self.job_id)]

    async def entries(self, *, attempt: int = 1, job_id: str = "") -> list[Entry]:
        return [entry for chunk in await self.chunks(job_id) if chunk.attempt == attempt for entry in chunk.entries]

    async def printed(self, stage: str, *, attempt: int = 1, stream: str = "", job_id: str = "") -> list[str]:
        """Return the lines of a stage but the echoes of its commands."""
        entries = await self.entries(attempt=attempt, job_id=job_id)
        lines = [entry for entry in entries if isinstance(entry, Line) and entry.stage == stage]
        return [line.text for line in lines if stream in ("", line.stream) and not line.text.startswith("\x1b[2m")]

    async def says(self, stage: str, text: str, *, attempt: int = 1) -> bool:
        return text in await self.printed(stage, attempt=attempt)

    async def last_change(self, stage: str) -> Change:
        changes = [entry for entry in await self.entries() if isinstance(entry, Change) and entry.stage == stage]
        return changes[-1]

    async def messages(self, stream: str) -> list[tuple[str, bytes]]:
        """Return subject and body of everything in a stream."""
        last = (await self._jetstream.stream_info(stream)).state.last_seq
        found = [await self._jetstream.get_msg(stream, sequence) for sequence in range(1, last + 1)]
        return [(message.subject or "", message.data or b"") for message in found]


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    await declare(client.jetstream(), [])
    yield client.jetstream()
    await client.close()


@pytest.fixture
async def idle_machine(folder: Path, nats_server: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Machine]:
    """A machine whose host is not started yet."""
    machine = Machine(folder, nats_server, jetstream)
    yield machine
    for path in machine.jobs_folder.glob("[!.]*"):
        if not (path / "plan.json").exists():
            shutil.rmtree(path)
    try:
        await machine.answers()
    except RuntimeUnavailableError:  # this test ended the host
        machine.stop_host()
        await machine.start_host()
    for job in await machine.runtime.jobs():
        await machine.runtime.remove(job.name)
    machine.stop_host()


@pytest.fixture
async def machine(idle_machine: Machine) -> Machine:
    await idle_machine.start_host()
    return idle_machine


@pytest.fixture
async def engine() -> AsyncIterator[aiodocker.Docker]:
    engine = await docker.connect()
    if engine is None:
        pytest.skip("no Docker Engine answers")
    try:
        await engine.images.inspect(DOCKER_IMAGE)
    except aiodocker.DockerError:
        pytest.skip(f"the engine has no {DOCKER_IMAGE}")
    else:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
async def docker_machine(idle_machine: Any, engine: aiodocker.Docker) -> AsyncIterator[Any]:
    """A machine that runs stages in containers; none of them stays."""
    await idle_machine.start_host(stage_runtime="docker")
    yield idle_machine
    for container in await engine.containers.list(all=True, filters={"label": [docker.JOB_LABEL]}):
        if any(str(idle_machine.root) in mount["Source"] for mount in container["Mounts"]):
            with suppress(aiodocker.DockerError):  # its builder may be faster
                await container.delete(force=True)


@pytest.fixture
def registry(folder: Path) -> Iterator[Registry]:
    registry = Registry(folder / "registry")
    try:
        registry.start()
    except ServerError as error:
        if PROGRAM in str(error) and "not on PATH" in str(error):
            pytest.skip(str(error))
        raise
    yield registry
    registry.stop()


@pytest.fixture
async def shelf(registry: Registry, engine: aiodocker.Docker) -> AsyncIterator[Shelf]:
    async with shelf_of(registry, engine) as shelf:
        yield shelf


@pytest.fixture
async def door(shelf: Shelf) -> AsyncIterator[Door]:
    async with door_of(shelf) as door:
        yield door
