import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import Plan, PlannedStage
from estafette_common.jobs.usage import Usage
from estafette_local.waiting import eventually

Run = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def run(idle_machine: Any, folder: Path) -> Run:
    """Start a builder for one job, as a Kubernetes Job does."""

    def start(plan: Plan, attempt: int = 2, *, plan_file: str = "plan.json", **more: str) -> "subprocess.Popen[bytes]":
        content = plan.model_dump_json().encode()
        (folder / plan_file).write_bytes(zstandard.compress(content) if plan_file.endswith(".zst") else content)
        (folder / "key").write_bytes(idle_machine.key)
        environment = idle_machine.environment(
            plan_file=str(folder / plan_file),
            key_file=str(folder / "key"),
            attempt=str(attempt),
            workspace=str(folder / "work"),
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            **more,
        )
        with (folder / "run.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "builder", "run"], env=environment, stdout=output, stderr=output
            )

    return start


def stage(name: str, *commands: str) -> PlannedStage:
    return PlannedStage(name=name, image="busybox:latest", commands=commands)


@pytest.mark.parametrize(("command", "outcome"), [("true", Outcome.SUCCEEDED), ("false", Outcome.FAILED)])
async def test_a_builder_exits_0_once_any_end_is_told(
    idle_machine: Any, run: Run, command: str, outcome: Outcome
) -> None:
    builder = run(idle_machine.plan(stage("test", command)))

    assert await asyncio.to_thread(builder.wait) == 0
    finished = await idle_machine.finished()
    assert (finished.outcome, finished.attempt) == (outcome, 2)


async def test_what_a_job_tells_belongs_to_the_trace_of_its_request(
    idle_machine: Any, run: Run, jetstream: Any
) -> None:
    await asyncio.to_thread(run(idle_machine.plan(stage("test", "true"))).wait)

    for stream, subject in (("JOBS", idle_machine.subject("finished")), ("LOGS", f"log.build.{idle_machine.job_id}")):
        message = await jetstream.get_last_msg(stream, subject)
        assert message.headers["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


async def test_a_builder_that_is_asked_to_stop_exits_so_that_it_is_started_again(
    idle_machine: Any, run: Run, folder: Path
) -> None:
    builder = run(idle_machine.plan(stage("wait", "echo began", f"echo $$ > {folder}/pid; sleep 600")))
    await eventually(lambda: idle_machine.says("wait", "began", attempt=2))
    await eventually((folder / "pid").read_text)

    builder.send_signal(signal.SIGTERM)

    assert await asyncio.to_thread(builder.wait) != 0
    assert idle_machine.subject("finished") not in [subject for subject, _ in await idle_machine.messages("JOBS")]
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)


async def test_an_attempt_that_was_begun_elsewhere_is_not_begun_again(
    idle_machine: Any, run: Run, folder: Path
) -> None:
    plan = idle_machine.plan(stage("test", f"echo ran >> {folder}/ran"))

    first = run(plan, attempt=1, begun_before="0")
    assert await asyncio.to_thread(first.wait) == 0
    second = run(plan, attempt=1, begun_before="0")

    assert await asyncio.to_thread(second.wait) != 0
    assert (folder / "ran").read_text() == "ran\n"


async def test_a_plan_that_is_compressed_is_read(idle_machine: Any, run: Run) -> None:
    builder = run(idle_machine.plan(stage("test", "true")), plan_file="plan.json.zst")

    assert await asyncio.to_thread(builder.wait) == 0
    assert (await idle_machine.finished()).outcome is Outcome.SUCCEEDED


async def test_a_builder_without_a_plan_says_what_is_missing(idle_machine: Any) -> None:
    command = [sys.executable, "-m", "builder", "run"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=idle_machine.environment(), capture_output=True, check=False
    )

    assert done.returncode != 0
    assert b"ESTAFETTE_PLAN_FILE" in done.stderr


@pytest.fixture
def cgroups(folder: Path) -> Path:
    """The control groups, version 1, of a container that uses 50 MB and no CPU."""
    memory, cpu = folder / "cgroup" / "memory", folder / "cgroup" / "cpuacct"
    memory.mkdir(parents=True)
    cpu.mkdir()
    (memory / "memory.usage_in_bytes").write_text("70000000\n")
    (memory / "memory.stat").write_text("total_inactive_file 20000000\n")
    (memory / "memory.oom_control").write_text("oom_kill 0\n")
    (cpu / "cpuacct.usage").write_text("5000000000\n")
    return folder / "cgroup"


async def test_a_job_that_is_alone_in_its_container_tells_what_it_took(
    idle_machine: Any, run: Run, cgroups: Path
) -> None:
    rises = stage("test", f"echo 90000000 > {cgroups}/memory/memory.usage_in_bytes")

    builder = run(idle_machine.plan(rises), cgroups=str(cgroups))

    assert await asyncio.to_thread(builder.wait) == 0
    assert (await idle_machine.finished()).usage == Usage(memory=70_000_000, cpu=0.0)


async def test_a_job_that_shares_its_container_tells_nothing_of_what_it_took(idle_machine: Any, run: Run) -> None:
    builder = run(idle_machine.plan(stage("test", "true")))

    assert await asyncio.to_thread(builder.wait) == 0
    assert (await idle_machine.finished()).usage is None
