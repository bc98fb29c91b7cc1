"""How builds follow their jobs, on a real PostgreSQL; what is told is only written down."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from estafette_common.bus.messages.commands import Lose
from estafette_common.bus.messages.events import GitPushed, PipelineChanged
from estafette_common.bus.messages.jobs import (
    JobDispatched,
    JobFailedToStart,
    JobFinished,
    JobGone,
    JobHeartbeat,
    JobLost,
    JobStarted,
    JobWaiting,
)
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.messages.message import Cause, Encoded, Message
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind, Outcome, Status, end_of, may_follow
from estafette_common.jobs.plan import Repository
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.follower import Follower

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CAUSE = Cause(id="1", type="", source="", time=NOW)
BUILD = "42"


class Notebook:
    """A publisher that stores the same id once, as JetStream does, and shows what was told."""

    def __init__(self) -> None:
        self.told: dict[str, Message | Encoded | LogChunk] = {}

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        self.told.setdefault(id, message)

    @property
    def outcomes(self) -> list[Any]:
        return [each.outcome for each in self.told.values() if isinstance(each, PipelineChanged)]

    @property
    def steps(self) -> list[str]:
        return [each.entries[0].stage for each in self.told.values() if isinstance(each, LogChunk)]  # type: ignore[union-attr]  # it begins with a line


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def follower(database: Database, notebook: Notebook, queue_of: Any) -> Follower:
    """It follows a build that is pending."""
    builds = Builds(database)
    repository = Repository(source="github.com", owner="acme", name="shop")
    push = GitPushed(repository=repository, ref="refs/heads/main", revision="a" * 40)
    await builds.add(NewBuild(id=BUILD, push=push, branch="main", version=str, manifest="stages: {}"))
    return Follower({Kind.BUILD: builds}, queue_of(database, notebook), notebook)


@pytest.fixture
def row(database: Database) -> Callable[[], Awaitable[asyncpg.Record]]:
    async def read() -> asyncpg.Record:
        found = await database.pool.fetchrow("SELECT * FROM builds WHERE id = $1", BUILD)
        assert found is not None
        return found

    return read


def started(attempt: int = 1, *, after: float = 0) -> JobStarted:
    return JobStarted(kind=Kind.BUILD, job_id=BUILD, attempt=attempt, time=NOW + timedelta(seconds=after))


def heartbeat(attempt: int = 1, *, after: float = 0) -> JobHeartbeat:
    return JobHeartbeat(kind=Kind.BUILD, job_id=BUILD, attempt=attempt, time=NOW + timedelta(seconds=after))


def finished(outcome: Outcome = Outcome.SUCCEEDED, attempt: int = 1, *, after: float = 60) -> JobFinished:
    time = NOW + timedelta(seconds=after)
    return JobFinished(kind=Kind.BUILD, job_id=BUILD, attempt=attempt, outcome=outcome, time=time)


LOSE = Lose(kind=Kind.BUILD, job_id=BUILD, reason="its job is gone")

Row = Callable[[], Awaitable[asyncpg.Record]]


@pytest.mark.parametrize("now", Status)
@pytest.mark.parametrize("outcome", Outcome)
async def test_a_build_ends_only_from_where_its_status_may_pass_to_the_end(
    follower: Follower, database: Database, row: Row, now: Status, outcome: Outcome
) -> None:
    await database.pool.execute("UPDATE builds SET status = $2 WHERE id = $1", BUILD, now)

    await follower.on_finished(finished(outcome), CAUSE)

    end = end_of(now, outcome).status
    assert (await row())["status"] == (end if may_follow(now, end) else now)


@pytest.mark.parametrize("now", Status)
async def test_a_build_runs_only_from_pending(follower: Follower, database: Database, row: Row, now: Status) -> None:
    await database.pool.execute("UPDATE builds SET status = $2 WHERE id = $1", BUILD, now)

    await follower.on_started(started(), CAUSE)

    assert (await row())["status"] == (Status.RUNNING if now is Status.PENDING else now)


async def test_a_job_that_runs_to_its_end_is_a_build_that_does(
    follower: Follower, notebook: Notebook, row: Row
) -> None:
    await follower.on_dispatched(JobDispatched(kind=Kind.BUILD, job_id=BUILD, runtime="local", name="b"), CAUSE)
    await follower.on_started(started(after=1), CAUSE)
    await follower.on_heartbeat(heartbeat(after=5), CAUSE)
    await follower.on_finished(finished(after=9), CAUSE)

    build = await row()
    assert (build["status"], build["outcome"], build["attempt"]) == ("succeeded", "succeeded", 1)
    assert build["runtime"] == "local"
    times = [build[name] for name in ("dispatched_at", "started_at", "heartbeat_at", "finished_at")]
    assert times == [NOW + timedelta(seconds=seconds) for seconds in (0, 1, 5, 9)]
    assert notebook.outcomes == [Outcome.SUCCEEDED]


async def test_what_comes_after_the_end_changes_nothing(follower: Follower, row: Row) -> None:
    await follower.on_finished(finished(), CAUSE)
    before = {
        name: value
        for name, value in (await row()).items()
        if name not in {"updated_at", "dispatched_at", "started_at"}
    }

    await follower.on_started(started(), CAUSE)
    await follower.on_heartbeat(heartbeat(after=90), CAUSE)
    await follower.on_finished(finished(Outcome.FAILED, after=99), CAUSE)

    assert {name: value for name, value in (await row()).items() if name in before} == before


async def test_an_end_that_is_delivered_again_is_told_once(follower: Follower, notebook: Notebook) -> None:
    for _ in range(3):
        await follower.on_finished(finished(), CAUSE)

    assert notebook.outcomes == [Outcome.SUCCEEDED]


async def test_heartbeats_that_overtake_each_other_do_not_move_the_last_sign_of_life_back(
    follower: Follower, row: Row
) -> None:
    await follower.on_started(started(), CAUSE)
    await follower.on_heartbeat(heartbeat(after=9), CAUSE)
    await follower.on_heartbeat(heartbeat(after=5), CAUSE)

    assert (await row())["heartbeat_at"] == NOW + timedelta(seconds=9)


async def test_a_further_attempt_counts_up_and_keeps_the_build_running(follower: Follower, row: Row) -> None:
    await follower.on_started(started(1), CAUSE)
    await follower.on_started(started(2, after=30), CAUSE)

    build = await row()
    assert (build["status"], build["attempt"]) == ("running", 2)


async def test_a_build_whose_job_is_gone_is_lost_and_says_why(follower: Follower, notebook: Notebook, row: Row) -> None:
    await follower.on_started(started(), CAUSE)

    await follower.on_lose(LOSE, CAUSE)

    build = await row()
    assert (build["status"], build["outcome"], build["reason"]) == ("failed", "lost", "its job is gone")
    assert (notebook.steps, notebook.outcomes) == (["lost"], [Outcome.LOST])


async def test_a_build_whose_job_no_runtime_takes_is_lost_and_says_why(
    follower: Follower, notebook: Notebook, row: Row
) -> None:
    await follower.on_failed_to_start(JobFailedToStart(kind=Kind.BUILD, job_id=BUILD, reason="too large"), CAUSE)

    build = await row()
    assert (build["status"], build["outcome"], build["reason"]) == ("failed", "lost", "too large")
    assert (notebook.steps, notebook.outcomes) == (["start"], [Outcome.LOST])


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.CANCELED])
async def test_a_build_that_ended_cannot_be_lost(
    follower: Follower, notebook: Notebook, row: Row, outcome: Outcome
) -> None:
    await follower.on_finished(finished(outcome), CAUSE)

    await follower.on_lose(LOSE, CAUSE)

    assert (await row())["outcome"] == outcome
    assert (notebook.steps, notebook.outcomes) == ([], [outcome])


async def test_a_build_that_failed_cannot_be_lost(follower: Follower, notebook: Notebook) -> None:
    await follower.on_finished(finished(Outcome.FAILED), CAUSE)

    await follower.on_lose(LOSE, CAUSE)

    assert notebook.steps == []


async def test_a_lost_build_is_never_told_to_have_failed_by_a_stage(follower: Follower, notebook: Notebook) -> None:
    await follower.on_lose(LOSE, CAUSE)
    notebook.told.clear()  # the stream forgets ids after some minutes

    await follower.on_finished(finished(Outcome.FAILED), CAUSE)

    assert notebook.outcomes in ([], [Outcome.LOST])


async def test_the_end_of_an_earlier_attempt_changes_nothing(follower: Follower, row: Row) -> None:
    await follower.on_started(started(2), CAUSE)

    await follower.on_finished(finished(Outcome.FAILED, attempt=1), CAUSE)

    build = await row()
    assert (build["status"], build["attempt"]) == ("running", 2)


async def test_the_start_of_an_earlier_attempt_does_not_count_back(follower: Follower, row: Row) -> None:
    await follower.on_heartbeat(heartbeat(2, after=30), CAUSE)

    await follower.on_started(started(1), CAUSE)

    assert (await row())["attempt"] == 2


async def test_a_build_whose_end_overtakes_its_start_has_both_times(follower: Follower, row: Row) -> None:
    await follower.on_finished(finished(after=60), CAUSE)
    await follower.on_started(started(after=1), CAUSE)

    assert (await row())["started_at"] is not None


def waiting(attempt: int = 1, reason: str = "no node can take it") -> JobWaiting:
    return JobWaiting(kind=Kind.BUILD, job_id=BUILD, attempt=attempt, state="unschedulable", reason=reason)


def lost(attempt: int = 1, *, again: bool, outcome: Outcome = Outcome.LOST) -> JobLost:
    return JobLost(
        kind=Kind.BUILD,
        job_id=BUILD,
        attempt=attempt,
        loss="node",
        outcome=outcome,
        again=again,
        reason="its node went",
    )


async def test_a_job_that_a_runtime_cannot_start_yet_says_why_until_it_runs(follower: Follower, row: Row) -> None:
    await follower.on_waiting(waiting(), CAUSE)
    assert ((await row())["status"], (await row())["reason"]) == ("pending", "no node can take it")

    await follower.on_started(started(), CAUSE)
    await follower.on_waiting(waiting(), CAUSE)  # late

    assert ((await row())["status"], (await row())["reason"]) == ("running", "")


async def test_a_lost_attempt_that_is_followed_by_another_counts_no_more(
    follower: Follower, notebook: Notebook, row: Row
) -> None:
    await follower.on_started(started(), CAUSE)
    await follower.on_lost(lost(again=True), CAUSE)

    build = await row()
    assert (build["status"], build["attempt"], build["reason"]) == ("running", 2, "attempt 1 was lost: its node went")
    await follower.on_waiting(waiting(2), CAUSE)
    assert (await row())["reason"] == "no node can take it"
    await follower.on_finished(finished(attempt=1), CAUSE)
    await follower.on_started(started(2), CAUSE)
    await follower.on_lost(lost(again=True), CAUSE)  # again, and late
    build = await row()
    assert (build["status"], build["attempt"], build["reason"]) == ("running", 2, "")
    assert notebook.outcomes == []


@pytest.mark.parametrize("outcome", [Outcome.LOST, Outcome.TIMED_OUT])
async def test_a_lost_attempt_without_another_ends_the_build_as_it_was_lost(
    follower: Follower, notebook: Notebook, row: Row, outcome: Outcome
) -> None:
    await follower.on_lost(lost(again=False, outcome=outcome), CAUSE)

    build = await row()
    assert (build["status"], build["outcome"], build["reason"]) == ("failed", outcome, "its node went")
    assert notebook.outcomes == [outcome]
    assert notebook.steps == ["lost"]


async def test_the_loss_of_an_earlier_attempt_does_not_end_a_build(follower: Follower, row: Row) -> None:
    await follower.on_started(started(2), CAUSE)

    await follower.on_lost(lost(1, again=False), CAUSE)

    assert (await row())["status"] == "running"


@pytest.mark.parametrize(("runtime", "status"), [("kubernetes", "canceling"), ("local", "canceled")])
async def test_a_canceled_job_that_has_a_pod_is_canceled_when_that_is_gone(
    follower: Follower, row: Row, runtime: str, status: str
) -> None:
    await follower.on_dispatched(JobDispatched(kind=Kind.BUILD, job_id=BUILD, runtime=runtime, name="b"), CAUSE)
    await follower.on_started(started(), CAUSE)
    await follower.cancel(Kind.BUILD, BUILD, "enough", CAUSE)

    await follower.on_finished(finished(Outcome.CANCELED), CAUSE)
    assert (await row())["status"] == status

    await follower.on_gone(JobGone(kind=Kind.BUILD, job_id=BUILD, reason="its builder ended"), CAUSE)
    assert ((await row())["status"], (await row())["outcome"]) == ("canceled", "canceled")
