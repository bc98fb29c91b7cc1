from datetime import UTC, datetime, timedelta

import pytest
from estafette_common.bus.messages.jobs import JobHeartbeat
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Plan, PlannedStage
from estafette_common.jobs.runtimes import Loss
from estafette_common.jobs.usage import Usage
from estafette_local import plans
from job_dispatcher.losing import given, is_heard, outcome_of, why_no_other

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MEASURED = Usage(memory=100, cpu=0.5)
SHORT = Usage(memory=100, cpu=0.5, out_of_memory=True)
PASSING = {Loss.DELETED, Loss.EVICTED, Loss.NODE, Loss.CRASHED}


def plan(kind: Kind, *, retries: int = 0) -> Plan:
    return plans.plan(
        kind=kind,
        stages=(PlannedStage(name="deploy", image="busybox", retries=retries),),
    )


def obstacle(
    kind: Kind = Kind.BUILD,
    loss: Loss = Loss.NODE,
    attempt: int = 1,
    *,
    measured: Usage | None = None,
    began: bool = True,
    **plans: int,
) -> str:
    return why_no_other(plan(kind, **plans), loss, measured=measured, attempt=attempt, began=began, most_attempts=3)


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("kind", [Kind.BUILD, Kind.BOT])
def test_a_build_or_bot_is_tried_again_where_another_pod_may_fare_better(kind: Kind, loss: Loss) -> None:
    assert (not obstacle(kind, loss)) == (loss in PASSING)


def test_a_job_is_tried_no_more_often_than_it_may_be() -> None:
    assert [obstacle(attempt=each) for each in (1, 2, 3)] == ["", "", "it was tried 3 times"]


def test_a_release_that_began_is_tried_again_only_if_its_manifest_allows_it() -> None:
    assert "deploy does not" in obstacle(Kind.RELEASE)
    assert obstacle(Kind.RELEASE, retries=1) == ""


def test_a_release_that_never_began_is_tried_again() -> None:
    assert obstacle(Kind.RELEASE, Loss.EVICTED, began=False) == ""


@pytest.mark.parametrize(
    ("measured", "attempt", "again"),
    [(None, 1, False), (MEASURED, 1, True), (MEASURED, 2, False), (SHORT, 1, False)],
    ids=["had-the-most", "had-what-others-took", "had-the-most-at-the-second", "had-the-most-as-others-ran-out"],
)
def test_a_job_that_ran_out_of_memory_is_tried_again_where_it_may_take_more(
    measured: Usage | None, attempt: int, *, again: bool
) -> None:
    assert (not obstacle(loss=Loss.OUT_OF_MEMORY, measured=measured, attempt=attempt)) == again


def test_a_release_that_ran_out_of_memory_is_tried_again_only_if_its_manifest_allows_it() -> None:
    assert "deploy does not" in obstacle(Kind.RELEASE, Loss.OUT_OF_MEMORY, measured=MEASURED)
    assert obstacle(Kind.RELEASE, Loss.OUT_OF_MEMORY, measured=MEASURED, retries=1) == ""


def test_a_later_attempt_may_take_the_most_memory_there_is() -> None:
    assert [given(MEASURED, attempt=each) for each in (1, 2, 3)] == [MEASURED, SHORT, SHORT]
    assert given(None, attempt=2) is None


def test_only_a_deadline_makes_a_job_timed_out() -> None:
    assert {loss for loss in Loss if outcome_of(loss) is Outcome.TIMED_OUT} == {Loss.DEADLINE}


@pytest.mark.parametrize(("attempt", "ago", "heard"), [(1, 29, True), (1, 31, False), (2, 1, False)])
def test_a_builder_is_heard_while_its_own_attempt_tells_that_it_lives(attempt: int, ago: int, heard: bool) -> None:
    heartbeat = JobHeartbeat(kind=Kind.BUILD, job_id="7", attempt=1, time=NOW - timedelta(seconds=ago))
    assert is_heard(heartbeat, attempt=attempt, now=NOW) == heard
    assert not is_heard(None, attempt=attempt, now=NOW)
