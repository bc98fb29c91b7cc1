"""How a job goes on in the workspace of an earlier one that failed."""

from pathlib import Path
from typing import Any

import pytest
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_local.waiting import eventually

AGAIN = "8"
"""Id of the job that goes on."""


def stages(folder: Path, *, resumable: bool = True) -> list[PlannedStage]:
    """Return a stage that makes something, and one that fails until the folder has a file."""
    return [
        PlannedStage(
            name="make", image="busybox:latest", commands=("echo made", "touch artifact"), resumable=resumable
        ),
        PlannedStage(name="test", image="busybox:latest", commands=(f"cat {folder}/repaired", "ls")),
    ]


async def fail(machine: Any, *planned: PlannedStage) -> None:
    await machine.start(*planned)
    assert (await machine.finished()).outcome is Outcome.FAILED
    await eventually((machine.job_folder / "done").exists)


async def test_what_the_earlier_job_finished_is_passed_over(machine: Any, folder: Path) -> None:
    await fail(machine, *stages(folder))
    (folder / "repaired").touch()

    for _ in range(2):
        await machine.start(*stages(folder), job_id=AGAIN, resumes=machine.job_id)

    assert (await machine.finished(AGAIN)).outcome is Outcome.SUCCEEDED
    assert await machine.printed("make", job_id=AGAIN) == [
        "succeeded in an earlier attempt and is resumable: not run again"
    ]
    assert await machine.printed("test", job_id=AGAIN) == ["README", "artifact"]


async def test_what_the_earlier_job_finished_is_passed_over_though_that_job_was_removed(
    machine: Any, folder: Path
) -> None:
    await fail(machine, *stages(folder))
    await machine.runtime.remove(f"build-{machine.job_id}")
    (folder / "repaired").touch()
    assert not list(machine.jobs_folder.rglob("key"))

    await machine.start(*stages(folder), job_id=AGAIN, resumes=machine.job_id)

    assert (await machine.finished(AGAIN)).outcome is Outcome.SUCCEEDED
    assert await machine.printed("test", job_id=AGAIN) == ["README", "artifact"]
    assert "made" not in await machine.printed("make", job_id=AGAIN)


async def test_nothing_is_kept_of_a_removed_job_that_succeeded(machine: Any, folder: Path) -> None:
    (folder / "repaired").touch()
    await machine.start(*stages(folder))
    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    await eventually((machine.job_folder / "done").exists)

    await machine.runtime.remove(f"build-{machine.job_id}")

    assert [path.name for path in machine.jobs_folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("why", ["forgotten", "not resumable", "other revision", "unknown"])
async def test_all_stages_run_where_nothing_can_be_passed_over(machine: Any, folder: Path, why: str) -> None:
    planned = stages(folder, resumable=why != "not resumable")
    await fail(machine, *planned)
    (folder / "repaired").touch()
    changes: dict[str, Any] = {"job_id": AGAIN, "resumes": "7777" if why == "unknown" else machine.job_id}
    if why == "forgotten":
        machine.stop_host()
        await machine.start_host(keep_workspaces_bytes="0")
        await machine.runtime.remove(f"build-{machine.job_id}")
    if why == "other revision":
        changes["revision"] = machine.repository.commit({"README": "more"})

    await machine.start(*planned, **changes)

    assert (await machine.finished(AGAIN)).outcome is Outcome.SUCCEEDED
    assert await machine.printed("make", job_id=AGAIN) == ["made"]
    told = f"nothing of build {changes['resumes']} can be passed over: all stages run"
    assert told in await machine.printed("builder-info", job_id=AGAIN)
