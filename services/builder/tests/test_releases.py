"""What releases and bots find, which builds do not."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from estafette_common.bus.messages.jobs import JobFinished
from estafette_common.bus.messages.logs import Change
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_local.waiting import eventually
from nats.js import JetStreamContext

BY_ROBIN = ({"fired": True, "manual": {"userID": "robin@example.com"}},)


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(name=name, image="busybox:latest", commands=commands, **fields)


async def run(machine: Any, jetstream: JetStreamContext, kind: Kind, *stages: PlannedStage, **fields: Any) -> None:
    """Run a job until it succeeded."""
    await machine.start(*stages, kind=kind, **fields)

    async def end() -> JobFinished:
        message = await jetstream.get_last_msg("JOBS", f"job.{kind}.{machine.job_id}.finished")
        return JobFinished.decode(message.data or b"", {})

    assert (await eventually(end, within=20)).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.BOT])
async def test_without_a_clone_a_job_begins_in_an_empty_folder(
    machine: Any, jetstream: JetStreamContext, kind: Kind
) -> None:
    await run(machine, jetstream, kind, stage("look", "ls -A"), clone=False)

    assert await machine.printed("look") == []
    begun = [each.stage for each in await machine.entries() if isinstance(each, Change) and each.status == "RUNNING"]
    assert begun == ["builder-info", "look"]


async def test_with_a_clone_a_release_begins_with_what_was_built(machine: Any, jetstream: JetStreamContext) -> None:
    await run(machine, jetstream, Kind.RELEASE, stage("look", "cat README"), clone=True)

    assert await machine.printed("look") == ["shop"]


async def test_a_release_without_stages_succeeds(machine: Any, jetstream: JetStreamContext) -> None:
    await run(machine, jetstream, Kind.RELEASE, clone=False)


async def test_a_release_knows_its_target_action_and_who_wanted_it(machine: Any, jetstream: JetStreamContext) -> None:
    names = ("NAME", "ACTION", "ID", "TRIGGERED_BY")
    show = stage(
        "show", *(f"printf %s\\\\n $ESTAFETTE_RELEASE_{name}" for name in names), "echo $ESTAFETTE_BUILD_VERSION"
    )

    await run(
        machine, jetstream, Kind.RELEASE, show, clone=False, target="production", action="canary", events=BY_ROBIN
    )

    assert await machine.printed("show") == ["production", "canary", machine.job_id, "robin@example.com", "1.0.7"]


async def lose_builder(machine: Any, folder: Path, **fields: Any) -> Path:
    """Start a release, and kill its builder in the midst of its stage; return its folder."""
    deploy = stage("deploy", "echo began", f"until [ -e {folder / 'go'} ]; do sleep 0.05; done", **fields)
    await machine.start(deploy, kind=Kind.RELEASE, clone=False)
    await eventually(lambda: machine.says("deploy", "began"), within=20)
    (folder / "go").touch()
    of_release: Path = machine.jobs_folder / f"release-{machine.job_id}"
    os.kill(int((of_release / "pid").read_text().split()[0]), signal.SIGKILL)
    return of_release


async def test_a_release_whose_builder_died_is_not_begun_again(machine: Any, folder: Path) -> None:
    of_release = await lose_builder(machine, folder)

    await eventually((of_release / "done").exists)

    assert (of_release / "attempt").read_text() == "1"
    assert [job.alive for job in await machine.runtime.jobs()] == [False]


@pytest.mark.parametrize("allowed_by", [{"retries": 1}, {"resumable": True}])
async def test_a_release_whose_builder_died_is_begun_again_where_its_stages_allow_it(
    machine: Any, jetstream: JetStreamContext, folder: Path, allowed_by: dict[str, Any]
) -> None:
    await lose_builder(machine, folder, **allowed_by)

    async def end() -> JobFinished:
        message = await jetstream.get_last_msg("JOBS", f"job.release.{machine.job_id}.finished")
        return JobFinished.decode(message.data or b"", {})

    ended = await eventually(end, within=20)
    assert (ended.attempt, ended.outcome) == (2, Outcome.SUCCEEDED)
