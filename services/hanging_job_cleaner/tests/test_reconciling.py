"""What is decided, as a table: what is found on each side, and what is done."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from estafette_common.bus.messages.events import CleaningAction as Do
from estafette_common.jobs.lifecycle import FINAL, Kind, Status
from estafette_common.jobs.runtimes import JobState
from hanging_job_cleaner.actions import Action
from hanging_job_cleaner.reconciling import (
    PLANNER_PATIENCE,
    BuildState,
    Findings,
    Limits,
    Told,
    reconcile,
    under_way,
)

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LIMITS = Limits(grace=60.0, keep_finished=30.0, keep_namespaces=7_000.0)
ACTIVE = sorted(set(Status) - FINAL)
PATIENCE = PLANNER_PATIENCE.total_seconds()
LIMIT = 3600.0


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def build(status: Status, *, kind: Kind = Kind.BUILD, waiting: bool = False, **signs: float) -> BuildState:
    """Return a build; signs are seconds before now."""
    times: dict[str, Any] = {f"{name}_at": ago(seconds) for name, seconds in ({"inserted": 1000.0} | signs).items()}
    return BuildState(id="7", kind=kind, status=status, waiting=waiting, **times)


def job(*, alive: bool, created: float = 1000.0, job_id: str = "7", kind: str = "build", name: str = "") -> JobState:
    return JobState(name=name or f"{kind}-{job_id}", kind=kind, job_id=job_id, alive=alive, created_at=ago(created))


def signs(seconds: float) -> list[dict[str, Any]]:
    return [{name: seconds} for name in ("dispatched", "started", "heartbeat")]


def told(seconds: float, *, is_end: bool = False, handled: bool = False, again: bool = False) -> Told:
    return Told(at=ago(seconds), is_end=is_end, number=3, is_handled=handled, is_again=again)


LONG_AGO = told(900)
PENDING, RUNNING, CANCELING = Status.PENDING, Status.RUNNING, Status.CANCELING
ALIVE, DEAD, NONE = (job(alive=True),), (job(alive=False),), ()


@dataclass(frozen=True)
class Case:
    """What is found of one build; `do` is what shall be done."""

    what: str
    build: BuildState | None
    jobs: tuple[JobState, ...]
    do: Do | None
    told: Told | None = LONG_AGO
    requests_waiting: bool = False
    timeout: float | None = LIMIT


def decide(case: Case) -> list[Action]:
    return reconcile(
        Findings(
            builds=[case.build] if case.build else [],
            jobs=case.jobs,
            told={"7": case.told},
            timeouts={"7": case.timeout} if case.timeout is not None else {},
            requests_waiting=case.requests_waiting,
            now=NOW,
        ),
        LIMITS,
    )


CASES = [
    # active without a job
    *(Case(f"{it}, no job", build(it, inserted=61), NONE, Do.LOST) for it in ACTIVE),
    *(Case(f"{it}, no job, within the grace", build(it, inserted=60), NONE, None) for it in ACTIVE),
    *(Case(f"running, heard of just now, {at}", build(RUNNING, **at), NONE, None) for at in signs(59.0)),
    *(Case(f"running, heard of long ago, {at}", build(RUNNING, **at), NONE, Do.LOST) for at in signs(61.0)),
    Case("an old sign does not outweigh a new one", build(RUNNING, dispatched=900, heartbeat=10), NONE, None),
    Case("waits for others", build(PENDING, waiting=True, inserted=90_000), NONE, None),
    Case("waited for others until now", build(PENDING, inserted=90_000, admitted=59), NONE, None),
    Case("waited for others long ago", build(PENDING, inserted=90_000, admitted=61), NONE, Do.LOST),
    # requests may still lead to a job
    Case("pending, requests wait", build(PENDING), NONE, None, requests_waiting=True),
    Case("pending, never requested", build(PENDING), NONE, Do.LOST, told=None),
    Case("pending, never requested, requests wait", build(PENDING), NONE, None, told=None, requests_waiting=True),
    Case("dispatched, requests of others wait", build(PENDING, dispatched=61), NONE, Do.LOST, requests_waiting=True),
    Case("started, requests of others wait", build(PENDING, started=61), NONE, Do.LOST, requests_waiting=True),
    # its builder died
    Case("its job ended without a word", build(RUNNING, heartbeat=61), DEAD, Do.LOST),
    Case("its job ended just now", build(RUNNING, heartbeat=59), DEAD, None),
    Case(
        "its job is of another kind", build(RUNNING, heartbeat=61), (job(alive=True, kind="bot", created=1),), Do.LOST
    ),
    *(Case(f"{it}, silent, its job lives", build(it, heartbeat=900), ALIVE, None) for it in ACTIVE),
    Case(
        "one of its two jobs lives",
        build(RUNNING, heartbeat=900),
        (job(alive=True), job(alive=False, name="build-7-2")),
        None,
    ),
    # the stream knows more than the database
    Case("told of just now", build(RUNNING, heartbeat=900), NONE, None, told=told(10)),
    Case("told of long ago", build(RUNNING, heartbeat=900), NONE, Do.LOST, told=told(61)),
    Case("its end waits for the planner", build(RUNNING), NONE, None, told=told(PATIENCE - 1, is_end=True)),
    Case("its end waited too long", build(RUNNING), NONE, Do.LOST, told=told(PATIENCE + 1, is_end=True)),
    # finished but not reported
    Case("its end was noted just now", build(RUNNING), DEAD, None, told=told(59, is_end=True, handled=True)),
    Case("its end came to nothing", build(RUNNING), DEAD, Do.TOLD_AGAIN, told=told(61, is_end=True, handled=True)),
    Case("the same without a job", build(RUNNING), NONE, Do.TOLD_AGAIN, told=told(61, is_end=True, handled=True)),
    Case(
        "its end was told again just now",
        build(RUNNING),
        DEAD,
        None,
        told=told(59, is_end=True, handled=True, again=True),
    ),
    Case(
        "its end came to nothing twice",
        build(RUNNING),
        DEAD,
        Do.LOST,
        told=told(61, is_end=True, handled=True, again=True),
    ),
    # canceling that never ends
    Case("canceled, no job, requests wait", build(CANCELING, canceling=61), NONE, Do.LOST, requests_waiting=True),
    Case("canceled just now, no job", build(CANCELING, canceling=59), NONE, None, requests_waiting=True),
    Case("canceled, its job lives on", build(CANCELING, canceling=61, heartbeat=1), ALIVE, Do.JOB_REMOVED),
    Case("canceled just now, its job lives", build(CANCELING, canceling=59, heartbeat=1), ALIVE, None),
    # over time-out
    Case("runs longer than it may", build(RUNNING, started=LIMIT + 121, heartbeat=1), ALIVE, Do.CANCELED),
    Case("is about to end itself", build(RUNNING, started=LIMIT + 119, heartbeat=1), ALIVE, None),
    Case("cannot start for too long", build(PENDING, dispatched=LIMIT + 121), ALIVE, Do.CANCELED),
    Case("its limit is not known", build(RUNNING, started=90_000, heartbeat=1), ALIVE, None, timeout=None),
    Case("over time, canceled already", build(CANCELING, started=90_000, canceling=1), ALIVE, None),
    # job without active
    *(Case(f"{it}, its job ended", build(it, finished=31), DEAD, Do.JOB_REMOVED) for it in sorted(FINAL)),
    *(Case(f"{it}, its job lives", build(it, finished=31), ALIVE, Do.JOB_REMOVED) for it in sorted(FINAL)),
    *(Case(f"{it} just now, its job is kept", build(it, finished=29), ALIVE, None) for it in sorted(FINAL)),
    *(Case(f"{it}, no job", build(it, finished=900), NONE, None) for it in sorted(FINAL)),
    *(Case(f"{it}, its job ended just now", build(it, heartbeat=10), DEAD, None) for it in ACTIVE),
    Case("an old job of nothing", None, (job(alive=True, created=61),), Do.JOB_REMOVED),
    Case("a young job of nothing", None, (job(alive=True, created=60),), None),
    Case("nothing at all", None, NONE, None),
]


def _of_kind(case: Case, kind: Kind) -> Case:
    swapped = {"build": str(kind), str(kind): "build"}
    jobs = tuple(replace(each, kind=swapped.get(each.kind, each.kind)) for each in case.jobs)
    return replace(case, build=replace(case.build, kind=kind) if case.build else None, jobs=jobs)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_found_decides_what_is_done(case: Case, kind: Kind) -> None:
    assert [action.do for action in decide(_of_kind(case, kind))] == ([case.do] if case.do else [])


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_done_names_the_job_and_its_kind(kind: Kind) -> None:
    cases = [_of_kind(case, kind) for case in CASES if case.build and case.do]

    assert {(action.kind, action.job_id) for case in cases for action in decide(case)} == {(kind, "7")}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (
            Case("", build(RUNNING, heartbeat=75), NONE, None),
            "the build is running, there is no job behind it, and nothing was heard of it for 75 s",
        ),
        (
            Case("", build(RUNNING), DEAD, None, told=told(75, is_end=True, handled=True)),
            "the end of its job was told 75 s ago, and the build is running",
        ),
        (
            Case("", build(RUNNING, started=4000, heartbeat=1), ALIVE, None),
            "it is under way for 4000 s, and may run for 3600 s",
        ),
        (Case("", build(Status.FAILED, finished=75), ALIVE, None), "its build failed 75 s ago"),
        (Case("", build(CANCELING, canceling=75), ALIVE, None), "its build was canceled 75 s ago, and it did not end"),
        (Case("", None, DEAD, None), "there is nothing of its id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_reason_says_what_was_found(case: Case, reason: str) -> None:
    assert [action.reason for action in decide(case)] == [reason]


def test_each_build_is_judged_by_its_own_job() -> None:
    other = BuildState(id="8", status=RUNNING, inserted_at=ago(1000))
    found = Findings(
        builds=[build(RUNNING), other],
        jobs=[job(alive=True, job_id="8")],
        told={"7": LONG_AGO, "8": LONG_AGO},
        timeouts={},
        requests_waiting=False,
        now=NOW,
    )

    assert [action.job_id for action in reconcile(found, LIMITS)] == ["7"]


def test_an_action_has_the_same_id_with_every_look_until_it_is_done() -> None:
    found = Case("", None, DEAD, None)
    [once], [again] = decide(found), decide(found)
    [later_job] = decide(replace(found, jobs=(job(alive=False, created=100),)))

    assert once.id == again.id
    assert once.id != later_job.id


def test_a_time_limit_is_looked_up_only_of_what_may_be_over_it() -> None:
    long_ago, just_now = build(RUNNING, started=200), build(RUNNING, started=10)
    ended, unborn = build(Status.FAILED, started=200), build(PENDING)

    assert under_way([long_ago, just_now, ended, unborn], NOW) == [long_ago]
