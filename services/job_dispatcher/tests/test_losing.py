from datetime import UTC, datetime, timedelta

import pytest
from estafette_common.bus.messages.jobs import JobHeartbeat
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.jobs.runtimes import Loss
from job_dispatcher.losing import is_heard, outcome_of, why_no_other

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PASSING = {Loss.DELETED, Loss.EVICTED, Loss.NODE, Loss.CRASHED}


def plan(kind: Kind, *, retries: int = 0) -> Plan:
    return Plan(
        kind=kind,
        job_id="7",
        repository=Repository(source="github.com", owner="acme", name="shop"),
        branch="main",
        revision="c" * 40,
        clone_url="file:///nowhere",
        version=Version(version="1.0.7", counter=7),
        stages=(PlannedStage(name="deploy", image="busybox", retries=retries),),
    )


def obstacle(kind: Kind = Kind.BUILD, loss: Loss = Loss.NODE, attempt: int = 1, **plans: int) -> str:
    return why_no_other(plan(kind, **plans), loss, attempt=attempt, began=True, most_attempts=3)


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
    assert why_no_other(plan(Kind.RELEASE), Loss.EVICTED, attempt=1, began=False, most_attempts=3) == ""


def test_only_a_deadline_makes_a_job_timed_out() -> None:
    assert {loss for loss in Loss if outcome_of(loss) is Outcome.TIMED_OUT} == {Loss.DEADLINE}


@pytest.mark.parametrize(("attempt", "ago", "heard"), [(1, 29, True), (1, 31, False), (2, 1, False)])
def test_a_builder_is_heard_while_its_own_attempt_tells_that_it_lives(attempt: int, ago: int, heard: bool) -> None:
    heartbeat = JobHeartbeat(kind=Kind.BUILD, job_id="7", attempt=1, time=NOW - timedelta(seconds=ago))
    assert is_heard(heartbeat, attempt=attempt, now=NOW) == heard
    assert not is_heard(None, attempt=attempt, now=NOW)
