from cli import overview
from cli.overview import Messages, Waiting

COUNTED = {
    "unfinished": [
        {"kind": "build", "status": "running", "reason": "", "count": 2, "age": 30.0},
        {"kind": "build", "status": "pending", "reason": "others", "count": 2, "age": 700.0},
        {"kind": "build", "status": "pending", "reason": "dispatch", "count": 1, "age": 3.0},
    ],
    "ended": [
        {"kind": "build", "outcome": "succeeded", "count": 41},
        {"kind": "bot", "outcome": "timed_out", "count": 1},
    ],
}


def test_jobs_are_summed_up_by_kind_with_what_pending_ones_wait_for() -> None:
    assert list(overview.jobs(COUNTED)) == [
        "builds    2 running, 3 pending (2 waiting for others, 1 waiting to be dispatched; the oldest for 12 min)",
        "releases  none under way",
        "bots      none under way",
        "last day  41 builds succeeded, 1 bot timed out",
    ]


def test_messages_that_wait_are_told_with_who_has_to_handle_them() -> None:
    waiting = [Waiting(consumer=name, count=count) for name, count in (("log-sink", 3), ("idle", 0), ("planner", 1200))]

    assert list(overview.messages(Messages(kept={"EVENTS": 12_034, "JOBS": 5}, waiting=waiting, dead=1))) == [
        "waiting   1,200 for planner, 3 for log-sink",
        "dead      1 letter: estafette dead list",
        "kept      EVENTS 12,034, JOBS 5",
    ]


def test_a_quiet_system_says_so() -> None:
    quiet = Messages(kept={}, waiting=[], dead=0)

    assert list(overview.jobs({"unfinished": [], "ended": []}))[-1] == "last day  nothing ended"
    assert list(overview.messages(quiet))[:2] == ["waiting   no messages", "dead      no letters"]
    assert list(overview.newest([])) == []
