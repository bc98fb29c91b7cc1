"""What is decided of what lies in a cluster, as a table."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from estafette_common.bus.messages.events import CleaningAction as Do
from estafette_common.jobs.lifecycle import FINAL, Kind, Status
from hanging_job_cleaner.leftovers import Thing, sweep
from hanging_job_cleaner.reconciling import BuildState, Limits

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LIMITS = Limits(grace=60.0, keep_finished=30.0, keep_namespaces=7_000.0)
OLD, YOUNG = 61.0, 59.0
ACTIVE = sorted(set(Status) - FINAL)


def thing(what: str, *, age: float = OLD, **others: Any) -> Thing:
    fields: dict[str, Any] = {
        "name": "build-7",
        "uid": f"{what}-1",
        "kind": "build",
        "job_id": "7",
        "owners": frozenset() if what == "Job" else frozenset({"Job-1"}),
        "created_at": NOW - timedelta(seconds=age),
    }
    return Thing(what=what, **(fields | others))


def build(status: Status, **others: Any) -> BuildState:
    return BuildState(id="7", status=status, inserted_at=NOW, **others)


SECRET, POD = thing("Secret"), thing("Pod")
JOB, YOUNG_JOB = thing("Job"), thing("Job", age=YOUNG)


@dataclass(frozen=True)
class Case:
    what: str
    things: tuple[Thing, ...]
    build: BuildState | None
    removed: list[tuple[Do, str]]


CASES = [
    Case("a Secret and a pod of a Job", (SECRET, POD, JOB), None, []),
    Case("a Secret without its Job", (SECRET,), None, [(Do.LEFTOVER_REMOVED, "Secret build-7")]),
    Case("a pod without its Job", (POD,), None, [(Do.LEFTOVER_REMOVED, "Pod build-7")]),
    Case("a Secret of nobody", (thing("Secret", owners=frozenset()),), None, [(Do.LEFTOVER_REMOVED, "Secret build-7")]),
    Case("a Secret whose Job is about to be there", (thing("Secret", age=YOUNG),), None, []),
    Case("a Secret that goes already", (thing("Secret", goes=True),), None, []),
    Case(
        "a Secret of an earlier Job of the name",
        (thing("Secret", uid="Secret-0", owners=frozenset({"Job-0"})), SECRET, JOB),
        None,
        [(Do.LEFTOVER_REMOVED, "Secret build-7")],
    ),
    *(Case(f"a pod without its Job, the build is {it}", (POD,), build(it), []) for it in ACTIVE),
    *(
        Case(f"a pod without its Job, the build {it}", (POD,), build(it), [(Do.LEFTOVER_REMOVED, "Pod build-7")])
        for it in sorted(FINAL)
    ),
    Case("a Job without its Secret", (JOB,), build(Status.PENDING), [(Do.JOB_REMOVED, "build-7")]),
    Case("a Job whose Secret is about to be there", (YOUNG_JOB,), build(Status.PENDING), []),
    Case("a Job without its Secret that goes", (thing("Job", goes=True),), build(Status.PENDING), []),
    Case("a Job without its Secret that runs", (JOB,), build(Status.RUNNING, started_at=NOW), []),
    Case("a Job without its Secret that is heard of", (JOB,), build(Status.PENDING, heartbeat_at=NOW), []),
    Case("a Job without its Secret that ended", (JOB,), build(Status.FAILED), []),
    Case("a Job of another kind without its Secret", (JOB,), build(Status.PENDING, kind=Kind.BOT), []),
    Case("nothing", (), build(Status.RUNNING), []),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_lies_there_decides_what_is_removed(case: Case) -> None:
    actions = sweep(case.things, [case.build] if case.build else [], NOW, LIMITS)

    assert [(action.do, action.name) for action in actions] == case.removed


def test_what_is_removed_is_named_by_its_uid_and_its_reason_told() -> None:
    [secret] = sweep([SECRET], [], NOW, LIMITS)
    [job] = sweep([JOB], [build(Status.PENDING)], NOW, LIMITS)

    assert (secret.which, secret.reason) == ("Secret-1", "there is no Job that the Secret belongs to")
    assert (job.which, job.reason) == ("Job-1", "its Secret is gone, so no builder of it can start")
