"""When namespaces of runs are scaled down and removed, as a table."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from estafette_common.bus.messages.events import CleaningAction as Do
from estafette_common.jobs.lifecycle import FINAL, Status
from estafette_common.jobs.plan import After, RunNamespace
from hanging_job_cleaner.disposing import Allocated, dispose
from hanging_job_cleaner.reconciling import BuildState, Limits

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LIMITS = Limits(grace=60.0, keep_finished=30.0, keep_namespaces=7_000.0)
SUCCEEDED, FAILED, RUNNING = Status.SUCCEEDED, Status.FAILED, Status.RUNNING
SCALE, REMOVE = Do.NAMESPACE_SCALED_DOWN, Do.NAMESPACE_REMOVED


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def namespace(number: int = 1, *, age: float = 1000.0, pipeline: str = "shop", **policy: Any) -> Allocated:
    state = {name: policy.pop(name) for name in ("scaled_down", "goes") if name in policy}
    return Allocated(
        name=f"run-{number}",
        uid=f"uid-{number}",
        kind="build",
        job_id=str(number),
        pipeline=pipeline,
        policy=RunNamespace(**policy),
        created_at=ago(age),
        **state,
    )


def build(status: Status, number: int = 1, *, finished: float | None = None) -> BuildState:
    finished_at = ago(finished) if finished is not None else None
    return BuildState(id=str(number), status=status, inserted_at=ago(1000), finished_at=finished_at)


def decide(*found: tuple[Allocated, BuildState | None], reported: float | None = None) -> list[tuple[Do, str]]:
    actions = dispose(
        [each for each, _ in found],
        [its for _, its in found if its is not None],
        reported={"1": ago(reported)} if reported is not None else {},
        now=NOW,
        limits=LIMITS,
    )
    return [(action.do, action.name) for action in actions]


@dataclass(frozen=True)
class Case:
    what: str
    namespace: Allocated
    build: BuildState | None
    do: Do | None
    reported: float | None = None


CASES = [
    *(Case(f"its build is {it}", namespace(), build(it), None) for it in sorted(set(Status) - FINAL)),
    *(Case(f"its build {it}", namespace(), build(it, finished=0), REMOVE) for it in sorted(FINAL)),
    Case("it goes already", namespace(goes=True), build(FAILED, finished=900), None),
    # scaled down until it is time
    Case("its time did not come", namespace(ttl=61), build(FAILED, finished=60), SCALE),
    Case("its time came", namespace(ttl=60), build(FAILED, finished=60), REMOVE),
    Case("it is scaled down", namespace(ttl=61, scaled_down=True), build(FAILED, finished=60), None),
    Case("it is not to be scaled down", namespace(ttl=61, scale_to_zero=False), build(FAILED, finished=60), None),
    # what it waits for
    Case("success, succeeded", namespace(after=After.SUCCESS), build(SUCCEEDED, finished=0), REMOVE),
    Case("success, failed", namespace(after=After.SUCCESS), build(FAILED, finished=900), SCALE),
    Case("reported, told", namespace(after=After.REPORTED), build(FAILED, finished=900), REMOVE, reported=0),
    Case("reported, not told", namespace(after=After.REPORTED), build(FAILED, finished=900), SCALE),
    Case(
        "the time begins with the report",
        namespace(after=After.REPORTED, ttl=60),
        build(FAILED, finished=900),
        SCALE,
        reported=59,
    ),
    Case("never", namespace(after=After.NEVER), build(SUCCEEDED, finished=900), SCALE),
    # not for ever
    Case("success, failed long ago", namespace(after=After.SUCCESS), build(FAILED, finished=7_001), REMOVE),
    Case("never told", namespace(after=After.REPORTED), build(FAILED, finished=7_001), REMOVE),
    Case("the last one, long ago", namespace(keep_last=1), build(FAILED, finished=7_001), REMOVE),
    Case("never, long ago", namespace(after=After.NEVER, scaled_down=True), build(FAILED, finished=90_000), None),
    # nobody's
    Case("there is no such build", namespace(age=61), None, REMOVE),
    Case("there is no such build yet", namespace(age=60), None, None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_the_policy_decides_what_is_done(case: Case) -> None:
    found = decide((case.namespace, case.build), reported=case.reported)

    assert found == ([(case.do, "run-1")] if case.do else [])


def test_the_last_ones_of_a_pipeline_are_kept() -> None:
    kept = [
        (namespace(number, age=100 - number, keep_last=2, scaled_down=True), build(SUCCEEDED, number, finished=50))
        for number in (1, 2, 3)
    ]
    running = (namespace(4, age=1, keep_last=2), build(RUNNING, 4))
    other = (namespace(5, age=1, keep_last=1, pipeline="till", scaled_down=True), build(FAILED, 5, finished=50))

    assert decide(*kept, running, other) == [(REMOVE, "run-1")]
