"""Stages that run at once inside a stage."""

from typing import Any

from estafette_common.bus.messages.logs import Change, Line
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedStage


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(**{"name": name, "image": "busybox:latest", "commands": commands} | fields)


def wrapper(name: str, *inner: PlannedStage, **fields: Any) -> PlannedStage:
    return PlannedStage(name=name, shell="", work_dir="", parallel_stages=inner, **fields)


async def ends(machine: Any) -> dict[str, str]:
    """Return the last status of each step, inner ones as `outer/inner`."""
    changes = [entry for entry in await machine.entries() if isinstance(entry, Change)]
    return {f"{each.parent}/{each.stage}".lstrip("/"): each.status for each in changes}


async def test_inner_stages_run_at_once_in_one_workspace(machine: Any) -> None:
    meet = "while [ ! -e {other} ]; do sleep 0.02; done"
    left = stage("left", "touch left", meet.format(other="right"))
    right = stage("right", "touch right", meet.format(other="left"))
    await machine.start(wrapper("both", left, right), stage("after", "ls"))

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert await ends(machine) == {
        "builder-info": "SUCCEEDED",
        "git-clone": "SUCCEEDED",
        "both": "SUCCEEDED",
        "both/left": "SUCCEEDED",
        "both/right": "SUCCEEDED",
        "after": "SUCCEEDED",
    }


async def test_the_first_that_fails_ends_the_others(machine: Any) -> None:
    slow = stage("slow", "touch started", "sleep 60")
    broken = stage("broken", "while [ ! -e started ]; do sleep 0.02; done", "exit 4")
    await machine.start(
        wrapper("both", slow, broken), stage("after", "true"), stage("told", "echo why", when="status == 'failed'")
    )

    assert (await machine.finished()).outcome is Outcome.FAILED
    found = await ends(machine)
    assert (found["both"], found["both/slow"], found["both/broken"]) == ("FAILED", "CANCELED", "FAILED")
    assert (found["after"], found["told"]) == ("SKIPPED", "SUCCEEDED")
    assert (await machine.last_change("broken")).exit_code == 4
    assert await machine.printed("both") == ["broken failed"]


async def test_a_wrapper_that_is_not_due_skips_what_it_holds(machine: Any) -> None:
    await machine.start(wrapper("both", stage("left", "true"), when="branch == 'other'"))

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    found = await ends(machine)
    assert (found["both"], found["both/left"]) == ("SKIPPED", "SKIPPED")


async def test_an_inner_stage_has_a_condition_of_its_own(machine: Any) -> None:
    inner = [stage("left", "true"), stage("right", "true", when="branch == 'other'")]
    await machine.start(wrapper("both", *inner), wrapper("broken", stage("worse", "true", when="stat == 'x'")))

    assert (await machine.finished()).outcome is Outcome.FAILED
    found = await ends(machine)
    assert (found["both"], found["both/left"], found["both/right"]) == ("SUCCEEDED", "SUCCEEDED", "SKIPPED")
    assert (found["broken"], found["broken/worse"]) == ("FAILED", "FAILED")


async def test_lines_of_inner_stages_say_where_they_belong(machine: Any) -> None:
    await machine.start(wrapper("both", stage("test", "echo inner")), stage("test", "echo outer"))
    await machine.finished()

    lines = [entry for entry in await machine.entries() if isinstance(entry, Line) and entry.text in {"inner", "outer"}]
    assert [(line.text, line.parent, line.number) for line in lines] == [("inner", "both", 2), ("outer", "", 2)]


async def test_a_job_that_takes_too_long_ends_what_it_holds(machine: Any) -> None:
    await machine.start(wrapper("both", stage("left", "sleep 60"), stage("right", "sleep 60")), timeout=2.0)

    assert (await machine.finished()).outcome is Outcome.TIMED_OUT
    found = await ends(machine)
    assert (found["both"], found["both/left"], found["both/right"]) == ("FAILED", "CANCELED", "CANCELED")


async def test_two_stages_of_one_name_both_run(machine: Any) -> None:
    await machine.start(stage("test", "echo one"), stage("test", "echo two"))

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert await machine.printed("test") == ["one", "two"]


async def test_an_extension_is_told_the_properties_of_its_stage(machine: Any) -> None:
    custom = {"action": "push", "tags": ["a", "b"], "deep": {"x": 1}, "count": 3}
    command = 'echo "$ESTAFETTE_EXTENSION_ACTION|$ESTAFETTE_EXTENSION_TAGS|$ESTAFETTE_EXTENSION_COUNT"'
    whole = 'echo "$ESTAFETTE_EXTENSION_CUSTOM_PROPERTIES"'
    await machine.start(stage("push", command, whole, custom=custom))
    await machine.finished()

    assert await machine.printed("push") == [
        "push|a,b|3",
        '{"action":"push","count":3,"deep":{"x":1},"env":null,"tags":["a","b"]}',
    ]
