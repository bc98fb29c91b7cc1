"""What a job does as a whole, from its start at the host to the last line of its log."""

import base64
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from builder.runtimes import split_reference
from estafette_common.bus.messages.logs import Change, End
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_common.manifest import secrets
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from nats.js import JetStreamContext


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(name=name, image="busybox:latest", commands=commands, **fields)


def members(group: int) -> list[str]:
    """Return the processes of a group that still run."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, own = file.read_text().rpartition(")")[2].split()[:3]
            if int(own) == group and state != "Z":
                found.append(file.parent.name)
    return found


def waiting_for(go: Path) -> str:
    return f"until [ -e {go} ]; do sleep 0.05; done"


async def test_every_line_is_logged_once_and_in_order(machine: Any) -> None:
    await machine.start(stage("count", "seq 1 2000"), stage("show", "cat README", "printf end"))

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert await machine.printed("count") == [str(number) for number in range(1, 2001)]
    assert await machine.printed("show") == ["shop", "end"]
    entries = await machine.entries()
    assert entries[-1] == End(outcome="succeeded")
    begun = [each.stage for each in entries if isinstance(each, Change) and each.status == "RUNNING"]
    assert begun == ["builder-info", "git-clone", "count", "show"]


async def test_a_secret_never_leaves_the_builder(machine: Any, jetstream: JetStreamContext) -> None:
    sealed = secrets.encrypt("hunter2-hunter2", key=machine.key)
    show = stage(
        "show",
        "echo $TOKEN",
        "echo $TOKEN | base64",
        "printf ${TOKEN%-*}-; echo ${TOKEN#*-}",
        "exit 1",
        env={"TOKEN": sealed},
    )

    await machine.start(show)

    await machine.finished()
    lines = await machine.printed("show")
    assert "***" in lines
    assert not any(b"hunter2" in body for _, body in await machine.messages("LOGS"))
    assert not any("hunter2" in line for line in lines)
    assert base64.b64encode(b"hunter2-hunter2\n").decode()[:18] not in "".join(lines)


async def test_nats_away_in_mid_build_loses_nothing(machine: Any, nats_server: NatsServer, folder: Path) -> None:
    go = folder / "go"
    await machine.start(stage("wait", "echo before", waiting_for(go), "seq 1 100"))
    await eventually(lambda: machine.says("wait", "before"))

    nats_server.stop(signal.SIGKILL)
    go.touch()
    await eventually(lambda: (machine.job_folder / "groups").read_text().count("\n") == 1)
    nats_server.start()

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert (await machine.printed("wait"))[-100:] == [str(number) for number in range(1, 101)]


async def test_a_builder_that_is_killed_is_started_again(machine: Any, folder: Path) -> None:
    go = folder / "go"
    await machine.start(stage("wait", "echo before", waiting_for(go), "echo after"))
    await eventually(lambda: machine.says("wait", "before"))
    group = int((machine.job_folder / "groups").read_text())

    os.kill(machine.pid(), signal.SIGKILL)
    await eventually(lambda: machine.says("wait", "before", attempt=2))
    go.touch()

    finished = await machine.finished()
    assert (finished.outcome, finished.attempt) == (Outcome.SUCCEEDED, 2)
    assert "after" in await machine.printed("wait", attempt=2)
    await eventually(lambda: not members(group))


async def test_a_job_goes_on_when_its_host_is_killed_and_is_not_started_twice(machine: Any, folder: Path) -> None:
    go = folder / "go"
    wait = stage("wait", "echo before", waiting_for(go))
    await machine.start(wait)
    await eventually(lambda: machine.says("wait", "before"))

    machine.stop_host(signal.SIGKILL)
    await machine.start_host()
    await machine.start(wait)
    [job] = await machine.runtime.jobs()
    go.touch()

    assert job.alive
    finished = await machine.finished()
    assert (finished.outcome, finished.attempt) == (Outcome.SUCCEEDED, 1)
    await machine.start(wait)
    assert [job.alive for job in await machine.runtime.jobs()] == [False]


async def test_a_job_that_is_removed_ends_with_all_it_started(machine: Any) -> None:
    await machine.start(stage("wait", "echo before", "sleep 600"))
    await eventually(lambda: machine.says("wait", "before"))
    group = int((machine.job_folder / "groups").read_text())

    await machine.runtime.remove(machine.job_folder.name)

    assert await machine.runtime.jobs() == []
    await eventually(lambda: not members(group))


async def test_a_repository_that_does_not_exist_fails_the_clone_with_gits_words(machine: Any) -> None:
    await machine.start(stage("a", "true"), clone_url="file:///nowhere")

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert any("nowhere" in line for line in await machine.printed("git-clone"))


async def test_an_older_revision_of_the_branch_is_checked_out(machine: Any) -> None:
    old = machine.revision
    machine.repository.commit({"README": "newer\n"})

    await machine.start(stage("show", "cat README"), revision=old)

    await machine.finished()
    assert await machine.printed("show") == ["shop"]


async def test_containers_that_end_at_once_lose_and_double_no_line(docker_machine: Any) -> None:
    stages = [stage(f"quick-{number}", "echo one; echo two", "echo three") for number in range(12)]

    await docker_machine.start(*stages)

    assert (await docker_machine.finished(within=60)).outcome is Outcome.SUCCEEDED
    for each in stages:
        assert await docker_machine.printed(each.name) == ["one", "two", "three"]


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
