"""What a stage may print: very much, very long lines, anything but text; and NATS may be away meanwhile."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from estafette_common.bus.messages.logs import End, Line, LogChunk
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import Plan, PlannedStage
from estafette_common.manifest import secrets
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from nats.js import JetStreamContext

FLOOD = 2_000_000
MOST_MEMORY = 150_000
"""Kilobytes that a builder may take."""

AWAY = 30
"""Seconds that NATS is away."""


def stage(*commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(name="print", image="busybox:latest", commands=commands, **fields)


async def chunks(jetstream: JetStreamContext, plan: Plan) -> AsyncIterator[LogChunk]:
    """Give the chunks of a job's log as they lie in the stream, which is much for one request each."""
    subscription = await jetstream.subscribe(f"log.build.{plan.job_id}", ordered_consumer=True)
    while True:
        chunk = LogChunk.decode((await subscription.next_msg(timeout=10)).data)
        yield chunk
        if isinstance(chunk.entries[-1], End):
            await subscription.unsubscribe()
            return


async def printed(jetstream: JetStreamContext, plan: Plan) -> list[str]:
    """Return the lines of the stage, of which no chunk and no line is missing, twice or late."""
    lines: list[Line] = []
    number = 0
    async for chunk in chunks(jetstream, plan):
        number += 1
        assert chunk.number == number
        lines += [entry for entry in chunk.entries if isinstance(entry, Line) and entry.stage == "print"]
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    for stream in ("stdout", "stderr"):
        times = [line.time for line in lines if line.stream == stream]
        assert times == sorted(times)
    return [line.text for line in lines if not line.text.startswith("\x1b[2m")]


def peak_memory(pid: int) -> int:
    """Return the most kilobytes that a process had (proc(5))."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) if "VmHWM:" in status else 0


@pytest.fixture(params=["process", "docker"])
def flooded_machine(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue({"process": "machine", "docker": "docker_machine"}[request.param])


async def test_two_million_lines_are_all_there_and_the_builder_stays_small(
    flooded_machine: Any, jetstream: JetStreamContext
) -> None:
    plan = await flooded_machine.start(stage(f"seq 1 {FLOOD}"))
    pid, memory = flooded_machine.pid(), [0]

    async def is_done() -> bool:
        memory.append(peak_memory(pid))
        return bool((flooded_machine.job_folder / "done").exists())

    await eventually(is_done, within=90)

    assert await printed(jetstream, plan) == [str(number) for number in range(1, FLOOD + 1)]
    assert 0 < max(memory) < MOST_MEMORY


async def test_a_line_of_ten_megabytes_loses_nothing(machine: Any, jetstream: JetStreamContext) -> None:
    plan = await machine.start(stage("head -c 10000000 /dev/zero | tr '\\0' x; echo; echo end"))

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    lines = await printed(jetstream, plan)
    assert "".join(lines[:-1]) == "x" * 10_000_000
    assert lines[-1] == "end"


async def test_what_is_no_text_is_printed_too(machine: Any, jetstream: JetStreamContext) -> None:
    plan = await machine.start(stage("printf 'a\\0b\\377\\n'; head -c 3000000 /dev/urandom; echo; echo end"))

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    lines = await printed(jetstream, plan)
    assert lines[0] == "a\0b\ufffd"
    assert lines[-1] == "end"


async def test_a_secret_that_is_written_in_pieces_does_not_show(machine: Any, jetstream: JetStreamContext) -> None:
    sealed = secrets.encrypt("hunter2-hunter2", key=machine.key)
    write = "printf hunter2-; sleep 0.05; printf hunter2; sleep 0.05; echo"
    padded = f"head -c {256 * 1024 - 7} /dev/zero | tr '\\0' x; {write}"

    plan = await machine.start(stage("set +x", write, padded, env={"TOKEN": sealed}))

    await machine.finished()
    lines = await printed(jetstream, plan)
    assert lines[0] == "***"
    assert "".join(lines[1:]) == "x" * (256 * 1024 - 7) + "***"


async def test_a_progress_bar_becomes_its_last_state(machine: Any, jetstream: JetStreamContext) -> None:
    plan = await machine.start(
        stage("for n in 1 2 3; do printf \"\\r${n}0%%\"; sleep 0.02; done; printf '\\r100%%\\r\\n'")
    )

    await machine.finished()
    assert await printed(jetstream, plan) == ["100%"]


async def test_nats_may_be_away_for_half_a_minute_of_much_output(
    machine: Any, jetstream: JetStreamContext, nats_server: NatsServer, folder: Path
) -> None:
    block, count = 20_000, AWAY * 20_000
    print_on = f"for n in $(seq {AWAY}); do seq $((n * {block} - {block - 1})) $((n * {block})); sleep 1; done"
    plan = await machine.start(stage("echo before", f"until [ -e {folder}/go ]; do sleep 0.05; done", print_on))
    await eventually(lambda: machine.says("print", "before"))
    pid = machine.pid()

    nats_server.stop(signal.SIGKILL)
    (folder / "go").touch()
    await eventually(lambda: _has_ended(machine), within=AWAY + 20)
    memory = peak_memory(pid)
    nats_server.start()

    assert (await machine.finished(within=30)).outcome is Outcome.SUCCEEDED
    assert await printed(jetstream, plan) == ["before", *(str(number) for number in range(1, count + 1))]
    assert 0 < memory < MOST_MEMORY


async def _has_ended(machine: Any) -> bool:
    """Return whether no stage runs any more."""
    return bool((machine.job_folder / "groups").read_text() == "")


IMPATIENT = """
import runpy, builder.attempt
builder.attempt.TELL_WITHIN = 0.5
runpy.run_module("builder", run_name="__main__")
"""


async def run_alone(machine: Any, plan: Plan, **settings: str) -> asyncio.subprocess.Process:
    """Start a builder that waits half a second after the job's limit until it gives up."""
    (machine.root / "plan.json").write_text(plan.model_dump_json())
    (machine.root / "key").write_bytes(machine.key)
    files = {name: str(machine.root / file) for name, file in (("plan_file", "plan.json"), ("key_file", "key"))}
    environment = machine.environment(workspace=str(machine.root / "workspace"), **files, **settings)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", IMPATIENT, "run", env=environment, stderr=asyncio.subprocess.PIPE
    )


async def test_a_builder_gives_up_when_nats_is_not_there_until_the_jobs_limit(idle_machine: Any) -> None:
    plan = idle_machine.plan(stage("echo never"), timeout=0.5)
    builder = await run_alone(idle_machine, plan, nats_url=f"nats://127.0.0.1:{free_port()}")

    _, said = await builder.communicate()

    assert builder.returncode == 0
    assert b"NATS was away until the job's limit" in said


async def test_a_builder_gives_up_when_nats_does_not_come_back_until_the_jobs_limit(
    idle_machine: Any, nats_server: NatsServer, folder: Path
) -> None:
    plan = idle_machine.plan(stage("echo before", f"touch {folder}/runs", "sleep 600"), timeout=3.0)
    builder = await run_alone(idle_machine, plan)
    await eventually(lambda: _exists(folder / "runs"))
    nats_server.stop(signal.SIGKILL)

    _, said = await builder.communicate()
    nats_server.start()

    assert builder.returncode == 0
    assert b"NATS was away until the job's limit" in said


async def _exists(file: Path) -> bool:
    return await asyncio.to_thread(file.exists)
