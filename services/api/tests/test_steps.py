"""Folding entries into the steps of the reference's API."""

from api.steps import fold, tail_line
from estafette_common.bus.messages.logs import Change, End, Entry, Image, Line

IMAGE = Image(name="golang", tag="1.22", is_pulled=True, image_size=5, pull_duration=7, is_trusted=True)


def line(stage: str, number: int, *, parent: str = "", service: bool = False, run: int = 0) -> Line:
    return Line(stage=stage, number=number, time="t", text="x", parent=parent, service=service, run=run)


def change(stage: str, status: str, *, parent: str = "", run: int = 0, exit_code: int = 0) -> Change:
    return Change(stage=stage, status=status, time="t", parent=parent, run=run, exit_code=exit_code)


def test_a_stage_that_ran_has_all_that_the_reference_tells() -> None:
    entries: list[Entry] = [
        Change(stage="build", status="PENDING", time="t", auto_injected=True),
        Change(stage="build", status="RUNNING", time="t", image=IMAGE),
        Line(stage="build", number=1, time="2026-01-01T00:00:00.000000001Z", text="hello", stream="stderr"),
        Change(stage="build", status="FAILED", time="t", duration=12, exit_code=3),
        End(outcome="failed"),
    ]

    assert fold(entries) == [
        {
            "step": "build",
            "depth": 0,
            "image": {
                "name": "golang", "tag": "1.22", "isPulled": True, "imageSize": 5, "pullDuration": 7, "isTrusted": True,
            },
            "runIndex": 0,
            "duration": 12,
            "logLines": [
                {
                    "line": 1,
                    "timestamp": "2026-01-01T00:00:00.000000001Z",
                    "streamType": "stderr",
                    "text": "hello\n",
                }
            ],
            "exitCode": 3,
            "status": "FAILED",
            "autoInjected": True,
            "nestedSteps": [],
            "services": [],
        }
    ]  # fmt: skip


def test_inner_stages_and_services_lie_below_their_stage() -> None:
    [outer] = fold(
        [
            change("outer", "RUNNING"),
            line("db", 1, parent="outer", service=True),
            line("left", 1, parent="outer"),
            line("right", 1, parent="outer"),
            line("left", 2, parent="outer"),
        ]
    )

    assert [(step["step"], step["depth"], len(step["logLines"])) for step in outer["nestedSteps"]] == [
        ("left", 1, 2),
        ("right", 1, 1),
    ]
    assert [step["step"] for step in outer["services"]] == ["db"]


def test_a_retried_stage_is_a_step_for_each_run() -> None:
    steps = fold(
        [
            line("test", 1),
            change("test", "FAILED", exit_code=1),
            line("test", 1, run=1),
            change("test", "SUCCEEDED", run=1),
        ]
    )

    assert [(step["runIndex"], step["status"], step["exitCode"]) for step in steps] == [
        (0, "FAILED", 1),
        (1, "SUCCEEDED", 0),
    ]


def test_no_entries_are_no_steps() -> None:
    assert fold([]) == []
    assert fold([End(outcome="canceled")]) == []


def test_a_line_of_the_live_log_says_where_it_belongs() -> None:
    assert tail_line(line("left", 4, parent="outer", run=2)) == {
        "step": "left",
        "type": "stage",
        "parentStage": "outer",
        "depth": 1,
        "runIndex": 2,
        "logLine": {"line": 4, "timestamp": "t", "streamType": "stdout", "text": "x\n"},
    }


def test_a_change_of_the_live_log_says_what_changed() -> None:
    changed = Change(
        stage="db",
        status="SUCCEEDED",
        time="t",
        image=IMAGE,
        duration=9,
        parent="outer",
        service=True,
        auto_injected=True,
    )

    said = tail_line(changed)

    assert said["type"] == "service"
    assert (said["status"], said["duration"], said["autoInjected"]) == ("SUCCEEDED", 9, True)
    assert said["image"]["pullDuration"] == 7
    assert "logLine" not in said
