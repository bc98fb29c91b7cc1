"""How a job ends that is not left to itself: canceled, stopped, out of time, tried again, gone on with."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiodocker
import pytest
from builder.progress import Finished, Progress, kept
from builder.runtimes import docker
from estafette_common.bus.messages.jobs import JobCancel
from estafette_common.bus.messages.logs import Change, Line
from estafette_common.jobs.lifecycle import Kind, Outcome, StageStatus
from estafette_common.jobs.plan import PlannedService, PlannedStage
from estafette_local.waiting import eventually
from nats.js import JetStreamContext

Ready = Callable[[], Awaitable[object]]


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(**{"name": name, "image": "busybox:latest", "commands": commands} | fields)


@pytest.fixture(params=["machine", "docker_machine"])
def any_machine(request: pytest.FixtureRequest) -> Any:
    """A machine that runs stages as processes, or in containers."""
    return request.getfixturevalue(request.param)


@pytest.fixture
async def silent_server() -> AsyncIterator[str]:
    """The URL of a git server that takes requests and answers none."""
    open_ones: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/shop.git"
    server.close()
    for writer in open_ones:
        writer.close()


async def cancel(machine: Any, jetstream: JetStreamContext, *, job_id: str = "") -> None:
    message = JobCancel(kind=Kind.BUILD, job_id=job_id or machine.job_id, reason="robin wants it")
    await jetstream.publish(message.subject, message.encode())


async def ends(machine: Any, *, attempt: int = 1) -> dict[str, str]:
    """Return the last status of each step, inner ones as `outer/inner`."""
    changes = [entry for entry in await machine.entries(attempt=attempt) if isinstance(entry, Change)]
    return {f"{each.parent}/{each.stage}".lstrip("/"): each.status for each in changes}


async def test_a_canceled_job_ends_what_runs_and_begins_nothing_more(docker_machine: Any, jetstream: Any) -> None:
    inner = [stage("left", "echo began", "sleep 60"), stage("right", "sleep 60")]
    service = PlannedService(name="db", image="busybox:latest", commands=("sleep 60",))
    await docker_machine.start(
        PlannedStage(name="both", parallel_stages=inner, services=(service,)),
        stage("after", "true", services=(service,)),
        stage("always", "true", when="status == 'succeeded' || status == 'failed'"),
    )
    await eventually(lambda: docker_machine.says("left", "began"), within=20)

    await cancel(docker_machine, jetstream)

    finished = await docker_machine.finished()
    assert (finished.outcome, finished.reason) == (Outcome.CANCELED, "robin wants it")
    found = await ends(docker_machine)
    assert {found.pop(name) for name in ("builder-info", "git-clone")} == {"SUCCEEDED"}
    assert set(found) == {"both", "both/left", "both/right", "both/db", "after", "after/db", "always"}
    assert set(found.values()) == {"CANCELED"}


async def test_a_job_can_be_canceled_while_it_clones(machine: Any, jetstream: Any, silent_server: str) -> None:
    await machine.start(stage("test", "true"), clone_url=silent_server)
    await eventually(lambda: _reached(machine, "git-clone", StageStatus.RUNNING))

    await cancel(machine, jetstream)

    assert (await machine.finished()).outcome is Outcome.CANCELED
    assert await ends(machine) == {"builder-info": "SUCCEEDED", "git-clone": "CANCELED", "test": "CANCELED"}


async def test_a_job_can_be_canceled_while_it_waits_for_a_service(docker_machine: Any, jetstream: Any) -> None:
    never = {"command": ("false",), "timeout": 60.0}
    service = PlannedService(name="db", image="busybox:latest", commands=("sleep 60",), readiness=never)
    await docker_machine.start(stage("test", "true", services=(service,)))
    await eventually(lambda: _reached(docker_machine, "db", StageStatus.RUNNING), within=20)

    await cancel(docker_machine, jetstream)

    assert (await docker_machine.finished()).outcome is Outcome.CANCELED
    assert await ends(docker_machine) == {
        "builder-info": "SUCCEEDED",
        "git-clone": "SUCCEEDED",
        "test": "CANCELED",
        "test/db": "CANCELED",
    }


async def test_nothing_of_a_canceled_job_is_left_when_its_end_is_told(
    docker_machine: Any, engine: aiodocker.Docker, jetstream: Any
) -> None:
    plan = await docker_machine.start(stage("test", "echo began", "sleep 60"))
    await eventually(lambda: docker_machine.says("test", "began"), within=20)

    await cancel(docker_machine, jetstream)

    await docker_machine.finished()
    label = f"{docker.JOB_LABEL}={plan.job_name}"
    assert await engine.containers.list(all=True, filters={"label": [label]}) == []


async def test_what_a_stage_says_while_it_ends_is_in_its_log(any_machine: Any, jetstream: Any) -> None:
    await any_machine.start(
        stage("test", "trap 'echo out; echo err >&2; exit 0' TERM", "echo began", "while true; do sleep 0.05; done")
    )
    await eventually(lambda: any_machine.says("test", "began"), within=20)

    await cancel(any_machine, jetstream)

    assert (await any_machine.finished()).outcome is Outcome.CANCELED
    assert {"began", "out", "err"} <= set(await any_machine.printed("test"))


async def test_another_jobs_cancel_is_not_heard(machine: Any, jetstream: Any, folder: Path) -> None:
    await machine.start(stage("test", "echo began", f"while [ ! -e {folder}/go ]; do sleep 0.02; done"))
    await eventually(lambda: machine.says("test", "began"))

    await cancel(machine, jetstream, job_id="2")
    (folder / "go").touch()

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("phase", ["clone", "run", "service"])
async def test_a_builder_that_is_stopped_is_started_again_whatever_it_does(
    docker_machine: Any, silent_server: str, phase: str
) -> None:
    never = {"command": ("false",), "timeout": 60.0}
    service = PlannedService(name="db", image="busybox:latest", commands=("sleep 60",), readiness=never)
    plans: dict[str, tuple[list[PlannedStage], dict[str, Any]]] = {
        "clone": ([stage("test", "true")], {"clone_url": silent_server}),
        "run": ([stage("test", "sleep 60")], {}),
        "service": ([stage("test", "true", services=(service,))], {}),
    }
    stages, fields = plans[phase]
    await docker_machine.start(*stages, **fields)
    step = {"clone": "git-clone", "run": "test", "service": "db"}[phase]
    await eventually(lambda: _reached(docker_machine, step, StageStatus.RUNNING))

    os.kill(docker_machine.pid(), signal.SIGTERM)

    await eventually(lambda: _reached(docker_machine, step, StageStatus.RUNNING, attempt=2), within=20)
    assert docker_machine.subject("finished") not in [subject for subject, _ in await docker_machine.messages("JOBS")]


async def test_a_job_that_is_canceled_ends_as_canceled_also_when_its_builder_is_stopped(
    machine: Any, jetstream: Any
) -> None:
    await machine.start(stage("test", "trap '' TERM", "echo began", "sleep 60"))
    await eventually(lambda: machine.says("test", "began"))

    await cancel(machine, jetstream)
    await eventually(lambda: _reached(machine, "test", StageStatus.CANCELED))
    os.kill(machine.pid(), signal.SIGTERM)

    assert (await machine.finished()).outcome is Outcome.CANCELED


async def test_a_stage_is_tried_again_and_each_try_has_a_log_of_its_own(any_machine: Any) -> None:
    commands = ("echo try", "[ -e tried ] || { touch tried; exit 3; }")
    await any_machine.start(stage("flaky", *commands, retries=2), stage("after", "true"))

    assert (await any_machine.finished()).outcome is Outcome.SUCCEEDED
    entries = [
        entry for entry in await any_machine.entries() if isinstance(entry, Change | Line) and entry.stage == "flaky"
    ]
    assert [(each.run, each.status) for each in entries if isinstance(each, Change)] == [
        (0, "PENDING"),
        (0, "RUNNING"),
        (0, "FAILED"),
        (1, "PENDING"),
        (1, "RUNNING"),
        (1, "SUCCEEDED"),
    ]
    lines = [(each.run, each.text) for each in entries if isinstance(each, Line) and "\x1b" not in each.text]
    assert lines == [(0, "try"), (0, "failed with exit code 3; trying again"), (1, "try")]


async def test_a_stage_that_fails_each_time_fails_the_job_once(machine: Any) -> None:
    await machine.start(stage("broken", "echo try", "exit 3", retries=2), stage("after", "true"))

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert (await machine.printed("broken")).count("try") == 3
    assert (await ends(machine))["after"] == "SKIPPED"


async def test_a_stage_that_takes_too_long_fails_and_says_its_limit(any_machine: Any) -> None:
    await any_machine.start(
        stage("slow", "sleep 60", timeout=1.0), stage("told", "echo why", when="status == 'failed'")
    )

    assert (await any_machine.finished()).outcome is Outcome.FAILED
    assert (await any_machine.printed("slow"))[-1] == "ran longer than its timeout of 1 s"
    assert (await ends(any_machine))["told"] == "SUCCEEDED"


async def test_parallel_stages_that_take_too_long_fail_the_stage_that_holds_them(machine: Any) -> None:
    await machine.start(PlannedStage(name="both", parallel_stages=(stage("left", "sleep 60"),), timeout=1.0))

    assert (await machine.finished()).outcome is Outcome.FAILED
    found = await ends(machine)
    assert (found["both"], found["both/left"]) == ("FAILED", "CANCELED")


async def test_what_a_later_attempt_need_not_run_again_is_kept(machine: Any, folder: Path) -> None:
    await machine.start(
        stage("make", "echo made", "touch artifact", resumable=True),
        stage("never", "true", when="branch == 'other'"),
        stage("wait", "ls", f"echo began; while [ ! -e {folder}/go ]; do sleep 0.02; done"),
    )
    await eventually(lambda: machine.says("wait", "began"))

    os.kill(machine.pid(), signal.SIGKILL)
    await eventually(lambda: machine.says("wait", "began", attempt=2), within=20)
    (folder / "go").touch()

    assert (await machine.finished()).attempt == 2
    assert await machine.printed("make", attempt=2) == [
        "succeeded in an earlier attempt and is resumable: not run again"
    ]
    assert await machine.printed("wait", attempt=2) == ["README", "artifact", "began"]
    assert await ends(machine, attempt=2) == {
        "builder-info": "SUCCEEDED",
        "make": "SUCCEEDED",
        "never": "SKIPPED",
        "wait": "SUCCEEDED",
    }


async def test_what_follows_a_stage_that_runs_again_runs_again(machine: Any, folder: Path) -> None:
    await machine.start(
        stage("make", "echo made"),
        stage("pack", "echo packed", resumable=True),
        stage("wait", f"echo began; while [ ! -e {folder}/go ]; do sleep 0.02; done"),
    )
    await eventually(lambda: machine.says("wait", "began"))

    os.kill(machine.pid(), signal.SIGKILL)
    (folder / "go").touch()

    assert (await machine.finished()).attempt == 2
    assert await machine.printed("pack", attempt=2) == ["packed"]


def test_a_stage_with_a_service_that_others_need_is_not_kept() -> None:
    service = PlannedService(name="db", image="postgres:15", multi_stage=True)
    finished = [Finished("make", StageStatus.SUCCEEDED)]

    assert kept([stage("make", resumable=True)], finished) == 1
    assert kept([stage("make", resumable=True, services=(service,))], finished) == 0


def test_a_stage_that_failed_is_not_kept() -> None:
    assert kept([stage("make", resumable=True)], [Finished("make", StageStatus.FAILED)]) == 0


def test_a_note_that_a_crash_cut_off_is_none(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress")
    progress.add("make", StageStatus.SUCCEEDED)
    with (tmp_path / "progress").open("ab") as output:
        output.write(b'{"stage": "pa')

    assert progress.read() == [Finished("make", StageStatus.SUCCEEDED)]


async def _reached(machine: Any, step: str, status: StageStatus, *, attempt: int = 1) -> bool:
    changes = [entry for entry in await machine.entries(attempt=attempt) if isinstance(entry, Change)]
    return any(each.stage == step and each.status == status for each in changes)
