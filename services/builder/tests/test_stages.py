import json
import re
import signal
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from estafette_common.bus.messages.logs import Change, Line
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_common.manifest import secrets
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(**{"name": name, "image": "busybox:latest", "commands": commands} | fields)


async def test_the_first_step_tells_of_the_builder_and_that_images_are_ignored(machine: Any) -> None:
    await machine.start(stage("test", "true"))
    await machine.finished()

    lines = await machine.printed("builder-info")
    assert "stage runtime process" in lines[0]
    assert "images are ignored" in lines[1]
    assert (await machine.last_change("builder-info")).auto_injected


async def test_the_life_of_a_job_is_told_in_order_and_its_end_after_its_log(machine: Any) -> None:
    await machine.start(stage("test", "true"), stage("never", "true", when="branch == 'other'"))
    await machine.finished()

    told = [(subject.rpartition(".")[2], json.loads(body)) for subject, body in await machine.messages("JOBS")]
    assert [(kind, body.get("stage"), body.get("status")) for kind, body in told] == [
        ("started", None, None),
        ("stage", "builder-info", "SUCCEEDED"),
        ("stage", "git-clone", "RUNNING"),
        ("stage", "git-clone", "SUCCEEDED"),
        ("stage", "test", "RUNNING"),
        ("stage", "test", "SUCCEEDED"),
        ("stage", "never", "SKIPPED"),
        ("finished", None, None),
    ]
    last_chunk = (await machine.chunks())[-1]
    assert datetime.fromisoformat(told[-1][1]["time"]) >= datetime.fromisoformat(_last_time(last_chunk.entries))


def _last_time(entries: list[Any]) -> str:
    return str([entry.time for entry in entries if isinstance(entry, Line | Change)][-1][:26] + "+00:00")


async def test_every_message_has_an_id_of_its_own(machine: Any, jetstream: Any) -> None:
    await machine.start(stage("test", "true"))
    await machine.finished()

    ids = []
    for stream in ("JOBS", "LOGS"):
        last = (await jetstream.stream_info(stream)).state.last_seq
        ids += [(await jetstream.get_msg(stream, n)).headers["Nats-Msg-Id"] for n in range(1, last + 1)]
    assert len(set(ids)) == len(ids)


async def test_a_builder_gives_signs_of_life(idle_machine: Any, folder: Path) -> None:
    await idle_machine.start_host(heartbeat="0.05")
    await idle_machine.start(stage("wait", f"until [ -e {folder}/go ]; do sleep 0.05; done"))

    async def beats() -> int:
        return [subject for subject, _ in await idle_machine.messages("JOBS")].count(idle_machine.subject("heartbeat"))

    await eventually(lambda: _at_least(beats, 3))
    (folder / "go").touch()
    await idle_machine.finished()


async def _at_least(count: Any, most: int) -> bool:
    return bool(await count() >= most)


async def test_times_are_rfc_3339_with_nanoseconds_and_never_go_back(machine: Any) -> None:
    await machine.start(stage("test", "seq 1 50"))
    await machine.finished()

    times = [entry.time for entry in await machine.entries() if isinstance(entry, Line)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", time) for time in times)
    assert all(one <= other for one, other in pairwise(times))


async def test_stdout_and_stderr_are_told_apart(machine: Any) -> None:
    await machine.start(stage("test", "echo out; echo err >&2"))
    await machine.finished()

    assert await machine.printed("test", stream="stdout") == ["out"]
    assert await machine.printed("test", stream="stderr") == ["err"]


async def test_commands_are_echoed_dimly_before_they_run(machine: Any) -> None:
    await machine.start(stage("test", "echo it\\'s 100% \\\\done"))
    await machine.finished()

    lines = [entry.text for entry in await machine.entries() if isinstance(entry, Line) and entry.stage == "test"]
    assert lines[0] == "\x1b[2m> echo it\\'s 100% \\\\done\x1b[0m"


async def test_nothing_runs_after_the_first_command_that_fails(machine: Any) -> None:
    await machine.start(stage("test", "echo one", "false", "echo two"))

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert await machine.printed("test", stream="stdout") == ["one"]
    assert (await machine.last_change("test")).exit_code == 1


async def test_a_stage_ended_by_a_signal_fails_as_a_shell_would_say_it(machine: Any) -> None:
    await machine.start(stage("test", "kill -9 $$"))

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert (await machine.last_change("test")).exit_code == 128 + signal.SIGKILL


async def test_a_build_whose_stages_are_all_skipped_succeeds(machine: Any) -> None:
    await machine.start(stage("test", "false", when="branch == 'other'"))

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED


async def test_success_never_comes_back_after_a_failure(machine: Any) -> None:
    always = "status == 'succeeded' || status == 'failed'"
    await machine.start(stage("bad", "false"), stage("tidy", "true", when=always), stage("after", "true"))

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert (await machine.last_change("tidy")).status == "SUCCEEDED"
    assert (await machine.last_change("after")).status == "SKIPPED"


async def test_a_condition_knows_the_variables_of_the_reference(machine: Any) -> None:
    known = "branch == 'main' && status == 'succeeded' && server == 'estafette' && action == '' && trigger == ''"
    await machine.start(stage("test", "true", when=known))

    await machine.finished()
    assert (await machine.last_change("test")).status == "SUCCEEDED"


async def test_stages_after_a_broken_condition_are_visited(machine: Any) -> None:
    await machine.start(stage("odd", "true", when="nonsense"), stage("tell", "true", when="status == 'failed'"))

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert (await machine.last_change("odd")).status == "FAILED"
    assert "nonsense" in (await machine.printed("odd", stream="stderr"))[0]
    assert (await machine.last_change("tell")).status == "SUCCEEDED"


async def test_a_stage_starts_in_its_work_directory(machine: Any) -> None:
    await machine.start(
        stage("make", "mkdir -p sub; echo here > sub/file"), stage("see", "cat file", work_dir="/estafette-work/sub")
    )
    await machine.finished()

    assert await machine.printed("see") == ["here"]


async def test_a_shell_that_is_not_there_is_told(machine: Any) -> None:
    await machine.start(stage("test", "true", shell="/bin/no-such-shell"))

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert "/bin/no-such-shell" in (await machine.printed("test", stream="stderr"))[0]


async def test_a_stage_has_its_variables_and_none_of_the_builder(machine: Any) -> None:
    await machine.start(stage("test", "env", env={"GREETING": "hello"}), env={"GREETING": "no", "PLACE": "world"})
    await machine.finished()

    variables = dict(line.split("=", 1) for line in await machine.printed("test") if "=" in line)
    assert (variables["GREETING"], variables["PLACE"]) == ("hello", "world")
    assert variables["ESTAFETTE_GIT_BRANCH"] == "main"
    assert variables["ESTAFETTE_BUILD_VERSION"] == "1.0.7"
    unknown = {"ESTAFETTE_NATS_URL", "ESTAFETTE_LOCAL_SOCKET", "ESTAFETTE_JOBS_DIR", "ESTAFETTE_STAGE_RUNTIME"}
    assert not unknown & set(variables)


async def test_a_secret_that_comes_in_two_writes_does_not_show(machine: Any) -> None:
    sealed = secrets.encrypt("hunter2-hunter2", key=machine.key)
    commands = ("printf hunter2-", "sleep 0.3", "echo hunter2")
    await machine.start(stage("test", *commands, env={"TOKEN": sealed}))
    await machine.finished()

    text = "\n".join(await machine.printed("test"))
    assert "hunter2-hunter2" not in text


async def test_a_secret_in_what_git_says_does_not_show(machine: Any) -> None:
    sealed = secrets.encrypt("hunter2-hunter2", key=machine.key)
    await machine.start(stage("test", "true", env={"TOKEN": sealed}), clone_url="file:///nowhere/hunter2-hunter2")
    await machine.finished()

    lines = await machine.printed("git-clone")
    assert any("/nowhere/***" in line for line in lines)
    assert not any("hunter2" in line for line in lines)


async def test_a_secret_in_a_broken_condition_does_not_show(machine: Any) -> None:
    sealed = secrets.encrypt("hunter2-hunter2", key=machine.key)
    odd = stage("odd", "true", when="hunter2-hunter2 ==", env={"TOKEN": sealed})
    await machine.start(odd)
    await machine.finished()

    assert not any("hunter2-hunter2" in line for line in await machine.printed("odd"))


async def test_a_secret_of_another_key_ends_the_job_as_rejected_without_running_it(machine: Any) -> None:
    sealed = secrets.encrypt("hunter2-hunter2", key=bytes(reversed(range(32))))
    await machine.start(stage("test", "echo never", env={"TOKEN": sealed}))

    finished = await machine.finished()
    assert finished.outcome is Outcome.REJECTED
    assert "secret" in finished.reason
    assert await machine.printed("test") == []


async def test_the_log_of_a_rejected_job_says_why(machine: Any) -> None:
    sealed = secrets.encrypt("hunter2-hunter2", key=bytes(reversed(range(32))))
    await machine.start(stage("test", "true", env={"TOKEN": sealed}))
    await machine.finished()

    assert any("secret" in entry.text for entry in await machine.entries() if isinstance(entry, Line))


async def test_what_a_stage_leaves_running_ends_with_it(machine: Any, folder: Path) -> None:
    await machine.start(stage("test", f"sleep 600 & echo $! > {folder}/pid"), stage("next", "true"))

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert not _runs(int((folder / "pid").read_text()))


async def test_a_stage_ends_although_it_left_a_daemon(machine: Any) -> None:
    await machine.start(stage("test", "setsid sleep 4 & sleep 0.3"), timeout=8.0)

    assert (await machine.finished(within=3)).outcome is Outcome.SUCCEEDED


async def test_what_runs_longer_than_the_job_may_is_ended(machine: Any, folder: Path) -> None:
    await machine.start(stage("wait", f"echo $$ > {folder}/pid; sleep 600"), timeout=1.0)

    finished = await machine.finished()
    assert finished.outcome is Outcome.TIMED_OUT
    assert finished.reason
    assert not _runs(int((folder / "pid").read_text()))


async def test_the_log_of_a_job_that_ran_too_long_ends_its_stage(machine: Any) -> None:
    await machine.start(stage("wait", "sleep 600"), stage("after", "true"), timeout=1.0)
    await machine.finished()

    assert (await machine.last_change("wait")).status in {"FAILED", "CANCELED"}
    assert await machine.printed("wait", stream="stderr") != []


async def test_a_stage_that_cannot_be_started_fails_with_the_reason(machine: Any) -> None:
    await machine.start(stage("test", "true", env={"LARGE": "x" * 200_000}))

    assert (await machine.finished(within=8)).outcome is Outcome.FAILED
    assert (await machine.last_change("test")).status == "FAILED"


async def test_a_very_long_line_of_anything_comes_through(machine: Any) -> None:
    noise = "head -c 3000000 /dev/urandom | tr '\\200-\\377' '\\001-\\177\\001' | tr -d '\\n'"
    await machine.start(stage("noise", noise))

    assert (await machine.finished(within=15)).outcome is Outcome.SUCCEEDED


async def test_a_flood_of_lines_comes_through_whole_while_nats_is_away(
    machine: Any, nats_server: NatsServer, folder: Path
) -> None:
    await machine.start(
        stage("flood", "echo began", f"until [ -e {folder}/go ]; do sleep 0.05; done", "seq 1 30000", "echo ended")
    )
    await eventually(lambda: machine.says("flood", "began"))
    nats_server.stop(signal.SIGKILL)
    (folder / "go").touch()
    group = int((machine.job_folder / "groups").read_text())
    await eventually(lambda: not _runs(group))
    nats_server.start()

    assert (await machine.finished(within=30)).outcome is Outcome.SUCCEEDED
    assert await machine.printed("flood") == ["began", *map(str, range(1, 30001)), "ended"]
    numbers = [chunk.number for chunk in await machine.chunks()]
    assert numbers == list(range(1, len(numbers) + 1))


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def test_a_job_waits_for_nats_when_it_is_away_at_the_start(machine: Any, nats_server: NatsServer) -> None:
    nats_server.stop(signal.SIGKILL)
    await machine.start(stage("test", "echo hello"))
    nats_server.start()

    assert (await machine.finished()).attempt == 1
    assert await machine.printed("test") == ["hello"]
