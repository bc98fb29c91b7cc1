import io
from typing import Any

from estafette_local.log_view import LogView
from rich.console import Console


def event(stage: str, **more: Any) -> dict[str, Any]:
    return {"step": stage, "type": "stage", "depth": 0, "runIndex": 0, **more}


def line(text: str, stream: str = "stdout") -> dict[str, Any]:
    return {"line": 1, "timestamp": "2026-01-01T00:00:00Z", "streamType": stream, "text": text}


def shown(*events: dict[str, Any]) -> list[str]:
    output = io.StringIO()
    view = LogView(Console(file=output, highlight=False, markup=False))
    for one in events:
        view.show(one)
    return output.getvalue().splitlines()


def test_a_stage_has_a_header_its_lines_and_how_it_ended() -> None:
    assert shown(
        event("test", status="RUNNING", image={"name": "busybox", "tag": "1.36"}),
        event("test", logLine=line("[1/2] a test")),
        event("test", logLine=line("a warning", "stderr")),
        event("test", status="SUCCEEDED", duration=1_240_000_000),
    ) == ["▶ test  busybox:1.36", "  │ [1/2] a test", "  │ a warning", "✔ test succeeded in 1.2 s"]


def test_a_failed_stage_shows_its_exit_code() -> None:
    assert shown(event("test", status="RUNNING"), event("test", status="FAILED", duration=0, exitCode=3)) == [
        "▶ test",
        "✘ test failed in 0.0 s (exit code 3)",
    ]


def test_a_skipped_stage_is_one_line() -> None:
    assert shown(event("publish", status="SKIPPED")) == ["· publish skipped"]


def test_a_long_line_is_not_broken_where_there_is_no_terminal() -> None:
    assert shown(event("test", logLine=line("x" * 500)))[-1] == "  │ " + "x" * 500


def test_colours_of_the_log_are_left_out_where_there_is_no_terminal() -> None:
    assert shown(event("test", logLine=line("\x1b[31mred\x1b[0m")))[-1] == "  │ red"
