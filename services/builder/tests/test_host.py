import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_common.jobs.runtimes import RuntimeUnavailableError
from estafette_local.waiting import eventually


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(name=name, image="busybox:latest", commands=commands, **fields)


def holding(go: Path) -> PlannedStage:
    """Return a stage that says it began and waits for a file."""
    return stage("wait", "echo began", f"until [ -e {go} ]; do sleep 0.05; done")


def session_members(session: int) -> list[str]:
    """Return the programs of a session that still run."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = file.read_text().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if rest.split()[0] != "Z" and int(rest.split()[3]) == session:
            found.append(name)
    return found


async def waiting_process(machine: Any, *, beside: int = 0) -> int:
    """Return the one process that the host keeps for the job that comes next, beside a builder."""

    def look() -> int:
        children = Path(f"/proc/{machine.host.pid}/task/{machine.host.pid}/children").read_text().split()
        (child,) = {int(each) for each in children} - {beside}
        return child

    return await eventually(look)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def ask(machine: Any, line: bytes) -> bytes:
    """Return what the host answers to a line, nothing if it hangs up."""
    reader, writer = await asyncio.open_unix_connection(str(machine.socket))
    writer.write(line)
    answer = await reader.read()
    writer.close()
    return answer


async def test_what_is_no_request_is_answered_so(machine: Any) -> None:
    for line in (b"\n", b"nonsense\n", b'{"verb": "dance"}\n', b'{"verb": "start", "plan": {}}\n'):
        assert json.loads(await ask(machine, line))["error"] == "not understood"


async def test_a_client_that_hangs_up_early_hinders_nobody(machine: Any) -> None:
    _, writer = await asyncio.open_unix_connection(str(machine.socket))
    writer.close()

    assert await machine.runtime.jobs() == []


@pytest.mark.parametrize("name", ["", "../jobs", ".lock"])
async def test_a_name_that_is_none_is_refused(machine: Any, name: str) -> None:
    answer = await ask(machine, json.dumps({"verb": "remove", "name": name}).encode() + b"\n")

    assert json.loads(answer)["error"]


@pytest.mark.parametrize(
    ("job_id", "key"),
    [
        ("1", "no base64"),
        ("1", "A"),
        ("1/2", "AAAA"),
    ],
)
async def test_a_job_that_cannot_be_is_refused_and_leaves_nothing(machine: Any, job_id: str, key: str) -> None:
    plan = machine.plan(stage("test", "true"), job_id=job_id).model_dump(mode="json")
    answer = await ask(machine, json.dumps({"verb": "start", "plan": plan, "key": key}).encode() + b"\n")

    assert json.loads(answer)["error"]
    assert [path.name for path in machine.jobs_folder.iterdir()] == [".lock"]


async def test_the_key_of_a_job_is_for_its_owner_alone(machine: Any) -> None:
    await machine.start(stage("test", "true"))
    await machine.finished()

    assert (machine.job_folder / "key").stat().st_mode & 0o777 == 0o600


async def test_a_second_host_on_the_same_folder_gives_up(machine: Any) -> None:
    environment = machine.environment(local_socket=str(machine.root / "other.sock"))
    command = [sys.executable, "-m", "builder", "host"]
    other = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, check=False)

    assert other.returncode != 0
    assert b"another builder host" in other.stderr


async def test_a_host_may_be_started_again_while_its_builders_run(machine: Any, folder: Path) -> None:
    await machine.start(holding(folder / "go"))
    await eventually(lambda: machine.says("wait", "began"))

    assert machine.stop_host() == 0
    assert not machine.socket.exists()
    os.kill(machine.pid(), 0)
    await machine.start_host()
    (folder / "go").touch()

    assert (await machine.finished()).attempt == 1


async def test_a_job_is_run_by_a_process_that_was_there_before_it(machine: Any) -> None:
    waiting = await waiting_process(machine)

    await machine.start(stage("test", "true"))

    assert (await machine.finished()).attempt == 1
    assert machine.pid() == waiting


async def test_a_job_is_run_though_the_process_that_waited_for_it_died(machine: Any) -> None:
    waiting = await waiting_process(machine)
    os.kill(waiting, signal.SIGKILL)
    await eventually(lambda: not is_there(waiting))

    await machine.start(stage("test", "true"))

    assert (await machine.finished()).attempt == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_no_process_waits_for_a_job_once_its_host_is_gone(
    machine: Any, folder: Path, how: signal.Signals
) -> None:
    await machine.start(holding(folder / "go"))
    await eventually(lambda: machine.says("wait", "began"))
    waiting = await waiting_process(machine, beside=machine.pid())

    machine.stop_host(how)

    await eventually(lambda: not is_there(waiting))
    (folder / "go").touch()
    assert (await machine.finished()).attempt == 1


async def test_a_builder_that_ended_while_there_was_no_host_is_not_started_again(machine: Any, folder: Path) -> None:
    await machine.start(holding(folder / "go"))
    await eventually(lambda: machine.says("wait", "began"))
    machine.stop_host(signal.SIGKILL)
    (folder / "go").touch()
    await machine.finished()
    await eventually((machine.job_folder / "done").exists)

    await machine.start_host()

    assert [job.alive for job in await machine.runtime.jobs()] == [False]
    assert await machine.entries(attempt=2) == []


async def test_a_builder_that_died_while_there_was_no_host_is_started_again(machine: Any, folder: Path) -> None:
    await machine.start(holding(folder / "go"))
    await eventually(lambda: machine.says("wait", "began"))
    machine.stop_host(signal.SIGKILL)
    os.kill(machine.pid(), signal.SIGKILL)
    (folder / "go").touch()

    await machine.start_host()

    assert (await machine.finished()).attempt == 2


async def test_another_process_that_got_the_number_of_a_dead_builder_is_not_taken_for_it(
    machine: Any, folder: Path
) -> None:
    await machine.start(holding(folder / "go"))
    await eventually(lambda: machine.says("wait", "began"))
    machine.stop_host(signal.SIGKILL)
    os.kill(machine.pid(), signal.SIGKILL)
    (machine.job_folder / "pid").write_text(f"{os.getpid()} 1")
    (folder / "go").touch()

    await machine.start_host()

    assert (await machine.finished()).attempt == 2


async def test_a_folder_without_a_builder_is_repaired_at_the_start(idle_machine: Any) -> None:
    await idle_machine.start_host()
    await idle_machine.start(stage("test", "true"))
    await idle_machine.finished()
    idle_machine.stop_host()
    for name in ("attempt", "pid", "done", "groups"):
        (idle_machine.job_folder / name).unlink(missing_ok=True)

    await idle_machine.start_host()

    await eventually((idle_machine.job_folder / "done").exists)


async def test_a_builder_that_dies_ever_again_is_given_up(idle_machine: Any, folder: Path) -> None:
    await idle_machine.start_host(attempts="2")
    await idle_machine.start(holding(folder / "go"))
    for attempt in (1, 2):
        await eventually(partial(idle_machine.says, "wait", "began", attempt=attempt))
        os.kill(idle_machine.pid(), signal.SIGKILL)

    await eventually((idle_machine.job_folder / "done").exists)
    assert [job.alive for job in await idle_machine.runtime.jobs()] == [False]


async def test_each_attempt_has_a_clean_workspace(machine: Any, folder: Path) -> None:
    await machine.start(stage("leave", "ls; touch left; mkdir -p deep/er"), holding(folder / "go"))
    await eventually(lambda: machine.says("wait", "began"))

    os.kill(machine.pid(), signal.SIGKILL)
    (folder / "go").touch()

    assert (await machine.finished()).attempt == 2
    assert await machine.printed("leave", attempt=2) == ["README"]


async def test_a_builder_that_is_asked_to_stop_tells_no_end_and_is_started_again(machine: Any, folder: Path) -> None:
    await machine.start(holding(folder / "go"))
    await eventually(lambda: machine.says("wait", "began"))

    os.kill(machine.pid(), signal.SIGTERM)
    await eventually(lambda: machine.says("wait", "began", attempt=2))
    (folder / "go").touch()

    assert (await machine.finished()).attempt == 2
    subjects = [subject for subject, _ in await machine.messages("JOBS")]
    assert subjects.count(machine.subject("finished")) == 1
    assert subjects.count(machine.subject("started")) == 2


async def test_what_a_killed_builder_left_goes_with_its_job(machine: Any, folder: Path) -> None:
    await machine.start(holding(folder / "go"))
    await eventually(lambda: machine.says("wait", "began"))
    scripts = list(machine.job_folder.glob("stage-*"))
    os.kill(machine.pid(), signal.SIGKILL)
    (folder / "go").touch()
    await machine.finished()

    await machine.runtime.remove(machine.job_folder.name)

    assert scripts
    assert not any(script.exists() for script in scripts)


async def test_removing_a_job_that_never_was_is_nothing(machine: Any) -> None:
    await machine.runtime.remove("build-404")


async def test_jobs_run_beside_each_other(machine: Any, folder: Path) -> None:
    for number in range(5):
        await machine.start(holding(folder / "go"), job_id=str(number))
    for number in range(5):
        await eventually(partial(_began, machine, str(number)))
    (folder / "go").touch()

    for number in range(5):
        assert (await machine.finished(str(number))).outcome is Outcome.SUCCEEDED


async def _began(machine: Any, job_id: str) -> bool:
    return "began" in await machine.printed("wait", job_id=job_id)


async def test_a_folder_that_was_removed_in_part_hides_no_other(machine: Any) -> None:
    await machine.start(stage("test", "true"))
    await machine.finished()
    (machine.jobs_folder / "build-2/workspace").mkdir(parents=True)

    assert machine.job_folder.name in [job.name for job in await machine.runtime.jobs()]


async def test_jobs_start_while_another_is_being_removed(machine: Any) -> None:
    await machine.start(stage("wait", "trap '' TERM; echo began; while :; do sleep 1; done"))
    await eventually(lambda: machine.says("wait", "began"))
    removing = asyncio.ensure_future(machine.runtime.remove(machine.job_folder.name))
    await asyncio.sleep(0)

    began = time.monotonic()
    await machine.start(stage("test", "true"), job_id="2")
    took = time.monotonic() - began
    await removing

    assert took < 2


async def test_a_job_that_is_being_removed_is_not_started_beside_itself(machine: Any, folder: Path) -> None:
    stubborn = stage("wait", f"trap 'touch {folder}/asked' TERM; echo began; while :; do sleep 0.1 || true; done")
    await machine.start(stubborn)
    await eventually(lambda: machine.says("wait", "began"))
    removing = asyncio.ensure_future(machine.runtime.remove(machine.job_folder.name))
    await eventually((folder / "asked").exists)

    with pytest.raises(RuntimeUnavailableError, match="being removed"):
        await machine.start(stage("test", "true"))
    await removing

    assert await machine.runtime.jobs() == []


async def test_a_removal_goes_on_when_the_host_is_killed(machine: Any, folder: Path) -> None:
    stubborn = stage("wait", f"trap 'touch {folder}/asked' TERM; echo began; while :; do sleep 0.1 || true; done")
    await machine.start(stubborn)
    await eventually(lambda: machine.says("wait", "began"))
    removing = asyncio.ensure_future(machine.runtime.remove(machine.job_folder.name))
    await eventually((folder / "asked").exists)

    machine.stop_host(signal.SIGKILL)
    await machine.start_host()
    await removing

    await eventually(partial(_no_jobs, machine))
    assert await machine.entries(attempt=2) == []


async def _no_jobs(machine: Any) -> bool:
    return not await machine.runtime.jobs()


async def test_a_client_that_says_nothing_holds_nobody_up(machine: Any) -> None:
    _, silent = await asyncio.open_unix_connection(str(machine.socket))
    try:
        async with asyncio.timeout(2):
            await machine.runtime.jobs()
    finally:
        silent.close()


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """A forge that takes connections and never answers; gives a URL of it."""
    done = asyncio.Event()

    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/shop.git"
    finally:
        done.set()
        server.close()


async def test_git_of_a_dead_builder_is_gone_before_the_next_attempt_clones(machine: Any) -> None:
    async with silent_server() as url:
        await machine.start(stage("test", "true"), clone_url=url)
        first = await eventually(lambda: fetching_session(machine))

        os.kill(machine.pid(), signal.SIGKILL)
        await eventually(lambda: fetching_session(machine) != first)

        assert session_members(first) == []


def fetching_session(machine: Any) -> int:
    """Return the session in which git asks a server; 0 if none does."""
    session = int((machine.job_folder / "groups").read_text())
    return session if any("git-remote" in name for name in session_members(session)) else 0


async def test_a_builder_that_finds_no_engine_says_so_to_people(idle_machine: Any) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{idle_machine.root}/no-engine.sock"}
    await idle_machine.start_host(variables=nowhere, stage_runtime="docker")
    await idle_machine.start(stage("test", "true"))

    assert "Docker" in (await idle_machine.finished(within=5)).reason
