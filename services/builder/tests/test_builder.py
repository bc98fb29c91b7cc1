import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiodocker
import nats
import pytest
from builder.runtimes import docker, split_reference
from estafette_common.bus.messages.jobs import JobFinished
from estafette_common.bus.messages.logs import Change, End, Entry, Line, LogChunk
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.manifest import secrets
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from nats.js import JetStreamContext

KEY = bytes(range(32))


class Machine:
    """A builder host on its own folders, and what its jobs say on the bus."""

    def __init__(self, root: Path, nats_server: NatsServer, jetstream: JetStreamContext) -> None:
        self.root = root
        self.socket = root / "host.sock"
        self.repository = GitRepository(root / "git", "acme", "shop")
        self.revision = self.repository.commit({"README": "shop\n"})
        self._nats_server = nats_server
        self._jetstream = jetstream
        self._host: subprocess.Popen[bytes] | None = None

    def start_host(self, **settings: str) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")},
            "ESTAFETTE_NATS_URL": self._nats_server.url,
            "ESTAFETTE_LOCAL_SOCKET": str(self.socket),
            "ESTAFETTE_JOBS_DIR": str(self.root / "jobs"),
            "ESTAFETTE_STAGE_RUNTIME": "process",
        } | {f"ESTAFETTE_{name.upper()}": value for name, value in settings.items()}
        with (self.root / "host.log").open("ab") as output:
            self._host = subprocess.Popen(
                [sys.executable, "-m", "builder", "host"], env=environment, stdout=output, stderr=output
            )

    def stop_host(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._host is not None:
            self._host.send_signal(how)
            self._host.wait()
            self._host = None

    def plan(self, *stages: PlannedStage, job_id: str = "1", **fields: Any) -> Plan:
        return Plan(
            **{
                "kind": Kind.BUILD,
                "job_id": job_id,
                "repository": Repository(source="github.com", owner="acme", name="shop"),
                "branch": "main",
                "revision": self.revision,
                "clone_url": f"file://{self.repository.path}",
                "version": Version(version="1.0.7", counter=7),
                "stages": stages,
            }
            | fields
        )

    async def ask(self, **request: Any) -> dict[str, Any]:
        async def once() -> dict[str, Any]:
            reader, writer = await asyncio.open_unix_connection(str(self.socket), limit=1 << 24)
            writer.write(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
            writer.close()
            return answer

        return await eventually(once)

    async def start(self, plan: Plan) -> None:
        key = base64.b64encode(KEY).decode()
        answer = await self.ask(verb="start", plan=plan.model_dump(mode="json"), key=key)
        assert answer["error"] == ""

    async def jobs(self) -> list[dict[str, Any]]:
        return list((await self.ask(verb="list"))["jobs"])

    async def finished(self, job_id: str = "1", *, within: float = 20) -> JobFinished:
        async def look() -> JobFinished:
            message = await self._jetstream.get_last_msg("JOBS", f"job.build.{job_id}.finished")
            return JobFinished.decode(message.data or b"", {})

        return await eventually(look, within=within)

    async def log(self, job_id: str = "1") -> list[tuple[int, Entry]]:
        """Return the entries of a job with their attempt, as they lie in the stream."""
        found = []
        for sequence in range(1, (await self._jetstream.stream_info("LOGS")).state.last_seq + 1):
            message = await self._jetstream.get_msg("LOGS", sequence)
            chunk = LogChunk.decode(message.data or b"")
            if chunk.job_id == job_id:
                found += [(chunk.attempt, entry) for entry in chunk.entries]
        return found

    async def lines(self, stage: str, *, attempt: int = 1, job_id: str = "1") -> list[str]:
        entries = [entry for number, entry in await self.log(job_id) if number == attempt]
        lines = [entry for entry in entries if isinstance(entry, Line) and entry.stage == stage]
        assert [line.number for line in lines] == list(range(1, len(lines) + 1))
        return [line.text for line in lines]

    async def statuses(self, *, attempt: int = 1, job_id: str = "1") -> dict[str, str]:
        log = await self.log(job_id)
        return {entry.stage: entry.status for number, entry in log if number == attempt and isinstance(entry, Change)}

    async def changes(self, stage: str) -> list[Change]:
        return [entry for _, entry in await self.log() if isinstance(entry, Change) and entry.stage == stage]


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    await declare(client.jetstream(), [])
    yield client.jetstream()
    await client.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="estafette-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def machine(folder: Path, nats_server: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Machine]:
    machine = Machine(folder, nats_server, jetstream)
    machine.start_host()
    yield machine
    for job in await machine.jobs():
        await machine.ask(verb="remove", name=job["name"])
    machine.stop_host()


def members(group: int) -> list[str]:
    """Return the processes of a group that still run."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, own = file.read_text().rpartition(")")[2].split()[:3]
            if int(own) == group and state != "Z":
                found.append(file.parent.name)
    return found


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(name=name, image="busybox:latest", commands=commands, **fields)


async def test_every_line_is_logged_once_and_in_order(machine: Machine) -> None:
    plan = machine.plan(stage("count", "seq 1 2000"), stage("show", "cat README", "printf end"))

    await machine.start(plan)

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert (await machine.lines("count"))[1:] == [str(number) for number in range(1, 2001)]
    assert (await machine.lines("show"))[1::2] == ["shop", "end"]
    log = await machine.log()
    assert log[-1] == (1, End(outcome="succeeded"))
    assert list(await machine.statuses()) == ["builder-info", "git-clone", "count", "show"]


async def test_a_failed_stage_skips_what_needs_success_and_runs_what_needs_failure(machine: Machine) -> None:
    plan = machine.plan(
        stage("test", "echo no; exit 3"),
        stage("publish", "echo never"),
        stage("tell", "echo $ESTAFETTE_BUILD_STATUS", when="status == 'failed'"),
    )

    await machine.start(plan)

    assert (await machine.finished()).outcome is Outcome.FAILED
    statuses = await machine.statuses()
    assert (statuses["test"], statuses["publish"], statuses["tell"]) == ("FAILED", "SKIPPED", "SUCCEEDED")
    assert (await machine.changes("test"))[-1].exit_code == 3
    assert (await machine.lines("tell"))[1:] == ["failed"]


async def test_a_stage_for_another_branch_is_skipped(machine: Machine) -> None:
    plan = machine.plan(
        stage("here", "true", when="branch == 'main'"), stage("there", "false", when="branch == 'other'")
    )

    await machine.start(plan)

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert (await machine.statuses())["there"] == "SKIPPED"


async def test_a_broken_when_fails_the_build_and_says_why(machine: Machine) -> None:
    await machine.start(machine.plan(stage("odd", "true", when="status ==")))

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert "when: " in (await machine.lines("odd"))[0]


async def test_a_command_of_several_lines_runs_whole(machine: Machine) -> None:
    await machine.start(machine.plan(stage("many", "for n in 1 2; do\n  echo $n\ndone", "echo it\\'s; echo last")))

    await machine.finished()

    assert [line for line in await machine.lines("many") if not line.startswith("\x1b")][-4:] == [
        "1",
        "2",
        "it's",
        "last",
    ]


async def test_a_secret_never_leaves_the_builder(machine: Machine, jetstream: JetStreamContext) -> None:
    sealed = secrets.encrypt("hunter2-hunter2", key=KEY)
    show = stage(
        "show",
        "echo $TOKEN",
        "echo $TOKEN | base64",
        "printf ${TOKEN%-*}-; echo ${TOKEN#*-}",
        "exit 1",
        env={"TOKEN": sealed},
    )

    await machine.start(machine.plan(show))

    await machine.finished()
    lines = await machine.lines("show")
    assert "***" in lines
    raw = b"".join(
        [
            (await jetstream.get_msg("LOGS", n + 1)).data or b""
            for n in range((await jetstream.stream_info("LOGS")).state.last_seq)
        ]
    )
    assert b"hunter2" not in raw
    assert not any("hunter2" in line for line in lines)
    assert base64.b64encode(b"hunter2-hunter2\n").decode()[:18] not in "".join(lines)


async def test_nats_away_in_mid_build_loses_nothing(machine: Machine, nats_server: NatsServer, folder: Path) -> None:
    go = folder / "go"
    await machine.start(
        machine.plan(stage("wait", "echo before", f"until [ -e {go} ]; do sleep 0.05; done", "seq 1 100"))
    )
    await eventually(lambda: _contains(machine, "before"))

    nats_server.stop(signal.SIGKILL)
    go.touch()
    await eventually(lambda: (folder / "jobs/build-1/groups").read_text().count("\n") == 1)
    nats_server.start()

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert (await machine.lines("wait"))[-100:] == [str(number) for number in range(1, 101)]


async def _contains(machine: Machine, text: str, *, attempt: int = 1) -> bool:
    return text in await machine.lines("wait", attempt=attempt)


async def test_a_builder_that_is_killed_is_started_again(machine: Machine, folder: Path) -> None:
    go = folder / "go"
    await machine.start(
        machine.plan(stage("wait", "echo before", f"until [ -e {go} ]; do sleep 0.05; done", "echo after"))
    )
    await eventually(lambda: _contains(machine, "before"))
    pid = int((folder / "jobs/build-1/pid").read_text().split()[0])
    group = int((folder / "jobs/build-1/groups").read_text())

    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: _contains(machine, "before", attempt=2))
    go.touch()

    finished = await machine.finished()
    assert (finished.outcome, finished.attempt) == (Outcome.SUCCEEDED, 2)
    assert "after" in await machine.lines("wait", attempt=2)
    await eventually(lambda: not members(group))


async def test_a_job_goes_on_when_its_host_is_killed_and_is_not_started_twice(machine: Machine, folder: Path) -> None:
    go = folder / "go"
    plan = machine.plan(stage("wait", "echo before", f"until [ -e {go} ]; do sleep 0.05; done"))
    await machine.start(plan)
    await eventually(lambda: _contains(machine, "before"))

    machine.stop_host(signal.SIGKILL)
    machine.start_host()
    await machine.start(plan)
    [job] = await machine.jobs()
    go.touch()

    assert job["alive"]
    finished = await machine.finished()
    assert (finished.outcome, finished.attempt) == (Outcome.SUCCEEDED, 1)
    await machine.start(plan)
    assert [job["alive"] for job in await machine.jobs()] == [False]


async def test_a_job_that_is_removed_ends_with_all_it_started(machine: Machine, folder: Path) -> None:
    await machine.start(machine.plan(stage("wait", "echo before", "sleep 600")))
    await eventually(lambda: _contains(machine, "before"))
    group = int((folder / "jobs/build-1/groups").read_text())

    await machine.ask(verb="remove", name="build-1")

    assert await machine.jobs() == []
    await eventually(lambda: not members(group))


async def test_a_job_that_runs_too_long_is_timed_out(machine: Machine) -> None:
    await machine.start(machine.plan(stage("wait", "sleep 600"), timeout=0.5))

    assert (await machine.finished()).outcome is Outcome.TIMED_OUT


async def test_a_revision_that_does_not_exist_fails_the_clone_with_gits_words(machine: Machine) -> None:
    await machine.start(machine.plan(stage("a", "true"), clone_url="file:///nowhere"))

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert any("nowhere" in line for line in await machine.lines("git-clone"))


async def test_an_older_revision_of_the_branch_is_checked_out(machine: Machine) -> None:
    old = machine.revision
    machine.repository.commit({"README": "newer\n"})

    await machine.start(machine.plan(stage("show", "cat README"), revision=old))

    await machine.finished()
    assert (await machine.lines("show"))[-1] == "shop"


@pytest.fixture
async def docker_machine(machine: Machine) -> Machine:
    engine = await docker.connect()
    if engine is None:
        pytest.skip("no Docker Engine answers")
    try:
        await engine.images.inspect("busybox:latest")
    except aiodocker.DockerError:
        pytest.skip("the engine has no busybox:latest")
    finally:
        await engine.close()
    machine.stop_host()
    machine.start_host(stage_runtime="docker")
    return machine


async def test_stages_share_a_workspace_in_containers(docker_machine: Machine) -> None:
    plan = docker_machine.plan(
        stage("write", "cat README", "echo out; echo err >&2", "pwd > where"), stage("read", "cat where", "exit 4")
    )

    await docker_machine.start(plan)

    assert (await docker_machine.finished()).outcome is Outcome.FAILED
    write = [entry for _, entry in await docker_machine.log() if isinstance(entry, Line) and entry.stage == "write"]
    assert [line.text for line in write if line.stream == "stderr"] == ["err"]
    assert "/estafette-work" in await docker_machine.lines("read")
    assert (await docker_machine.changes("read"))[-1].exit_code == 4


async def test_containers_that_end_at_once_lose_and_double_no_line(docker_machine: Machine) -> None:
    stages = [stage(f"quick-{number}", "echo one; echo two", "echo three") for number in range(12)]

    await docker_machine.start(docker_machine.plan(*stages))

    assert (await docker_machine.finished(within=60)).outcome is Outcome.SUCCEEDED
    for each in stages:
        lines = await docker_machine.lines(each.name)
        assert [line for line in lines if not line.startswith("\x1b")] == ["one", "two", "three"]


async def test_an_image_that_cannot_be_pulled_fails_its_stage_with_the_reason(docker_machine: Machine) -> None:
    missing = PlannedStage(name="missing", image="127.0.0.1:9/none:1", commands=("true",))

    await docker_machine.start(docker_machine.plan(missing))

    assert (await docker_machine.finished(within=60)).outcome is Outcome.FAILED
    assert "cannot be pulled" in (await docker_machine.lines("missing"))[0]


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("busybox", ("busybox", "latest")),
        ("registry:5000/a/b", ("registry:5000/a/b", "latest")),
        ("registry:5000/a/b:1", ("registry:5000/a/b", "1")),
        ("a/b@sha256:" + "0" * 64, ("a/b", "sha256:" + "0" * 64)),
    ],
)
def test_a_reference_is_split_into_name_and_tag(image: str, parts: tuple[str, str]) -> None:
    assert split_reference(image) == parts
