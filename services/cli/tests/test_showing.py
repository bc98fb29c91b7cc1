from typing import Any

from cli import showing

BUILD = {
    "id": "7",
    "buildVersion": "1.0.3",
    "buildStatus": "failed",
    "outcome": "lost",
    "repoBranch": "main",
    "repoRevision": "c" * 40,
    "duration": 1_500_000_000,
    "pendingDuration": 0,
    "reason": "its node is gone",
}


def test_builds_are_a_table_with_the_outcome_where_that_says_more() -> None:
    title, first, second = showing.table([BUILD, {**BUILD, "buildStatus": "succeeded", "outcome": "succeeded"}])

    assert title.split() == ["version", "status", "branch", "revision", "duration", "id"]
    assert first.split() == ["1.0.3", "failed", "(lost)", "main", "cccccccc", "1.5", "s", "7"]
    assert second.split()[1] == "succeeded"


def test_a_build_says_why_it_ended() -> None:
    assert "  reason    its node is gone" in list(showing.details(BUILD))


def test_a_pending_build_says_what_it_waits_for() -> None:
    waiting = {
        **BUILD,
        "buildStatus": "pending",
        "outcome": None,
        "reason": "",
        "waitsFor": "waits until 1.0.2 has ended",
    }

    assert "  pending   waits until 1.0.2 has ended" in list(showing.details(waiting))


def test_a_live_log_is_told_line_by_line_with_the_end_of_each_stage() -> None:
    events: list[dict[str, Any]] = [
        {"step": "test", "status": "RUNNING"},
        {"step": "test", "logLine": {"text": "ok\n"}},
        {"step": "unit", "parentStage": "checks", "logLine": {"text": "1 passed\n"}},
        {"step": "test", "status": "FAILED", "duration": 2_000_000_000, "exitCode": 3},
    ]

    lines = [line for event in events for line in showing.event(event)]

    assert lines == ["test | ok", "checks/unit | 1 passed", "test failed with exit code 3 in 2.0 s"]


def test_a_stored_log_reads_like_a_live_one() -> None:
    inner = {"step": "unit", "status": "SUCCEEDED", "logLines": [{"text": "1 passed\n"}]}
    log = [{"step": "checks", "status": "SUCCEEDED", "logLines": [], "nestedSteps": [inner]}]

    assert list(showing.steps(log)) == ["checks/unit | 1 passed", "checks/unit succeeded", "checks succeeded"]
