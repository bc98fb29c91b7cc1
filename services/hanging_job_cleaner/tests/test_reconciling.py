from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from estafette_common.jobs.lifecycle import FINAL, Kind, Status
from estafette_common.jobs.runtimes import JobState
from hanging_job_cleaner.reconciling import PLANNER_PATIENCE, BuildState, Limits, Lost, Remove, Told, reconcile

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LIMITS = Limits(grace=60.0, keep_finished=30.0)
ACTIVE = sorted(set(Status) - FINAL)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def build(status: Status, *, inserted: float = 1000.0, **signs: float) -> BuildState:
    """Return a build; signs are seconds before now."""
    times: dict[str, Any] = {f"{name}_at": ago(seconds) for name, seconds in signs.items()}
    return BuildState(id="7", status=status, inserted_at=ago(inserted), **times)


def job(*, alive: bool, created: float = 1000.0, job_id: str = "7") -> JobState:
    return JobState(name=f"build-{job_id}", kind="build", job_id=job_id, alive=alive, created_at=ago(created))


LONG_AGO = Told(at=ago(900), is_end=False)


def decide(
    *builds: BuildState, jobs: tuple[JobState, ...] = (), waiting: bool = False, told: Told | None = LONG_AGO
) -> list[Lost | Remove]:
    stream = {build.id: told for build in builds}
    return reconcile(builds, jobs, told=stream, requests_waiting=waiting, now=NOW, limits=LIMITS)


def is_lost(*builds: BuildState, jobs: tuple[JobState, ...] = (), waiting: bool = False) -> bool:
    return [type(action) for action in decide(*builds, jobs=jobs, waiting=waiting)] == [Lost]


@pytest.mark.parametrize("status", ACTIVE)
def test_a_build_without_a_job_is_lost_after_the_grace(status: Status) -> None:
    assert is_lost(build(status, inserted=61))
    assert not is_lost(build(status, inserted=60))


@pytest.mark.parametrize("sign", ["dispatched", "started", "heartbeat"])
def test_the_grace_begins_with_the_last_sign(sign: str) -> None:
    assert not is_lost(build(Status.RUNNING, **{sign: 59.0}))
    assert is_lost(build(Status.RUNNING, **{sign: 61.0}))


def test_an_older_sign_does_not_outweigh_a_later_one() -> None:
    assert not is_lost(build(Status.RUNNING, dispatched=900, started=800, heartbeat=10))
    assert not is_lost(build(Status.RUNNING, dispatched=900, started=10, heartbeat=800))


def test_a_build_whose_job_ended_without_a_word_is_lost_after_the_grace() -> None:
    assert is_lost(build(Status.RUNNING, heartbeat=61), jobs=(job(alive=False),))
    assert not is_lost(build(Status.RUNNING, heartbeat=59), jobs=(job(alive=False),))


@pytest.mark.parametrize("status", ACTIVE)
def test_a_build_whose_job_lives_is_not_lost_even_without_heartbeats(status: Status) -> None:
    assert decide(build(status, heartbeat=900), jobs=(job(alive=True),)) == []


def test_a_build_is_not_lost_while_requests_wait_for_the_dispatcher() -> None:
    assert decide(build(Status.PENDING), waiting=True) == []


@pytest.mark.parametrize("sign", ["dispatched", "started"])
def test_a_build_that_was_dispatched_gets_no_help_from_requests_of_others(sign: str) -> None:
    assert is_lost(build(Status.PENDING, **{sign: 61.0}), waiting=True)


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_build_that_ended_is_never_lost(status: Status) -> None:
    assert decide(build(status, finished=900)) == []


def test_the_reason_says_what_was_looked_for() -> None:
    [lost] = decide(build(Status.RUNNING, heartbeat=75))

    assert isinstance(lost, Lost)
    assert lost.build_id == "7"
    assert lost.reason == "the build is running, there is no job behind it, and nothing was heard of it for 75 s"


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("status", sorted(FINAL))
def test_the_job_of_a_build_that_ended_is_kept_for_a_while_and_then_removed(status: Status, alive: bool) -> None:
    [action] = decide(build(status, finished=31), jobs=(job(alive=alive),))

    assert isinstance(action, Remove)
    assert action.name == "build-7"
    assert decide(build(status, finished=29), jobs=(job(alive=alive),)) == []


@pytest.mark.parametrize("status", ACTIVE)
def test_the_job_of_an_active_build_stays(status: Status) -> None:
    assert decide(build(status, heartbeat=10), jobs=(job(alive=False, created=90_000),)) == []


def test_a_job_of_no_build_is_removed_once_it_is_old() -> None:
    assert decide(jobs=(job(alive=True, created=90),)) == []
    assert [type(action) for action in decide(jobs=(job(alive=True, created=91),))] == [Remove]


def test_each_build_is_judged_by_its_own_job() -> None:
    other = BuildState(id="8", status=Status.RUNNING, inserted_at=ago(1000))

    actions = decide(build(Status.RUNNING), other, jobs=(job(alive=True, job_id="8"),))

    assert [action.build_id for action in actions if isinstance(action, Lost)] == ["7"]


def test_nothing_to_do_is_nothing_done() -> None:
    assert decide() == []


def test_a_build_is_not_lost_while_the_stream_hears_of_it_though_the_planner_is_away() -> None:
    assert decide(build(Status.RUNNING, heartbeat=900), told=Told(at=ago(10), is_end=False)) == []
    assert decide(build(Status.RUNNING, heartbeat=900), told=Told(at=ago(61), is_end=False))


def test_a_build_whose_end_is_told_waits_for_the_planner_but_not_for_ever() -> None:
    patience = PLANNER_PATIENCE.total_seconds()

    assert decide(build(Status.RUNNING), told=Told(at=ago(patience - 1), is_end=True)) == []
    assert decide(build(Status.RUNNING), told=Told(at=ago(patience + 1), is_end=True))


def test_a_build_that_was_never_requested_waits_as_long_as_pushes_do() -> None:
    assert decide(build(Status.PENDING, inserted=1000), told=None, waiting=True) == []
    assert [type(action) for action in decide(build(Status.PENDING, inserted=1000), told=None)] == [Lost]


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.BOT])
def test_a_release_or_bot_without_a_job_is_lost_as_what_it_is(kind: Kind) -> None:
    silent = BuildState(id="7", kind=kind, status=Status.RUNNING, inserted_at=ago(1000))

    [lost] = decide(silent)

    assert isinstance(lost, Lost)
    assert lost.kind is kind
    assert lost.reason.startswith(f"the {kind} is running")


@pytest.mark.parametrize("kind", ["release", "bot"])
def test_jobs_of_releases_and_bots_are_removed_as_those_of_builds(kind: str) -> None:
    left = JobState(name=f"{kind}-7", kind=kind, job_id="7", alive=False, created_at=ago(1000))

    assert decide(jobs=(left,)) == [Remove(f"{kind}-7", "there is nothing of its id")]


@pytest.mark.parametrize("kind", ["release", "bot"])
def test_a_job_of_another_kind_is_not_that_of_a_build(kind: str) -> None:
    other = JobState(name=f"{kind}-7", kind=kind, job_id="7", alive=True, created_at=ago(10))

    assert is_lost(build(Status.RUNNING, heartbeat=61), jobs=(other,))


def test_a_canceled_build_that_was_never_given_to_a_runtime_waits_for_no_request() -> None:
    assert is_lost(build(Status.CANCELING, canceling=61), waiting=True)
    assert not is_lost(build(Status.CANCELING, canceling=59), waiting=True)


def test_the_job_of_a_canceled_build_that_does_not_end_is_removed_after_the_grace() -> None:
    alive = job(alive=True)

    assert decide(build(Status.CANCELING, canceling=59, heartbeat=1), jobs=(alive,)) == []
    [action] = decide(build(Status.CANCELING, canceling=61, heartbeat=1), jobs=(alive,))
    assert isinstance(action, Remove)
    assert action.name == alive.name


def test_a_build_that_waits_for_others_is_never_lost() -> None:
    waiting = BuildState(id="7", status=Status.PENDING, inserted_at=ago(90_000), waiting=True)

    assert decide(waiting) == []


def test_the_grace_of_a_build_that_waited_begins_when_it_may_begin() -> None:
    assert not is_lost(build(Status.PENDING, inserted=90_000, admitted=59))
    assert is_lost(build(Status.PENDING, inserted=90_000, admitted=61))
