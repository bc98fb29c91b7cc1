"""How jobs end that shall not go on, on a real PostgreSQL; what is told and answered is only written down."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from estafette_common.bus.messages.commands import Answer, Cancel, Error, Lose
from estafette_common.bus.messages.events import DecisionMade, GitPushed, PipelineChanged
from estafette_common.bus.messages.jobs import JobCancel, JobFinished, JobGone, JobStarted
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.messages.message import Cause, Encoded, Message
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Repository
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.canceling import Canceler
from manifest_planner.commands import answering
from manifest_planner.decisions import Decisions
from manifest_planner.follower import Follower

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CAUSE = Cause(id="1", type="", source="", time=NOW)
BUILD = "42"
CANCEL = Cancel(kind=Kind.BUILD, job_id=BUILD, by="robin@example.com", reply_to="_INBOX.robin")
STARTED = JobStarted(kind=Kind.BUILD, job_id=BUILD, attempt=1, time=NOW)
GONE = JobGone(kind=Kind.BUILD, job_id=BUILD, reason="it was not started")


class Notebook:
    """A bus that stores the same id once, as JetStream does, and shows what was told and answered."""

    def __init__(self) -> None:
        self.told: dict[str, Message | Encoded | LogChunk] = {}
        self.answers: list[tuple[str, Answer]] = []

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        self.told.setdefault(id, message)

    async def answer(self, to: str, answer: Answer) -> None:
        self.answers.append((to, answer))

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.told.values() if isinstance(each, kind)]


class Scene:
    """A pending build of a planner."""

    def __init__(self, database: Database, queue_of: Any) -> None:
        self.database = database
        self.notebook = Notebook()
        jobs = {Kind.BUILD: Builds(database)}
        self.follower = Follower(jobs, queue_of(database, self.notebook), self.notebook)
        canceler = Canceler(jobs, self.follower, Decisions(database), self.notebook)
        self._on_cancel = answering(canceler.on_cancel, self.notebook)

    async def cancel(self, command: Cancel = CANCEL) -> Answer:
        await self._on_cancel(command, CAUSE)
        return self.notebook.answers[-1][1]

    async def finish(self, outcome: Outcome) -> None:
        await self.follower.on_finished(
            JobFinished(kind=Kind.BUILD, job_id=BUILD, attempt=1, outcome=outcome, time=NOW), CAUSE
        )

    async def state(self) -> tuple[str, str | None, str]:
        row = await self.database.pool.fetchrow("SELECT status, outcome, reason FROM builds WHERE id = $1", BUILD)
        assert row is not None
        return row["status"], row["outcome"], row["reason"]

    @property
    def ends(self) -> list[Outcome]:
        return [each.outcome for each in self.notebook.of(PipelineChanged)]


@pytest.fixture
async def scene(database_url: str, queue_of: Any) -> AsyncIterator[Scene]:
    database = Database(database_url)
    await database.start()
    repository = Repository(source="github.com", owner="acme", name="shop")
    push = GitPushed(repository=repository, ref="refs/heads/main", revision="a" * 40)
    new = NewBuild(id=BUILD, push=push, branch="main", version=str, manifest="stages: {}")
    await Builds(database).add(new)
    yield Scene(database, queue_of)
    await database.stop()


@pytest.mark.parametrize("running", [False, True])
async def test_a_canceled_build_is_canceling_and_its_job_is_told(scene: Scene, running: bool) -> None:
    if running:
        await scene.follower.on_started(STARTED, CAUSE)

    answer = await scene.cancel()

    assert await scene.state() == ("canceling", None, "canceled by robin@example.com")
    assert [each.reason for each in scene.notebook.of(JobCancel)] == ["canceled by robin@example.com"]
    assert (answer.error, answer.job_id, answer.status, answer.version) == (None, BUILD, "canceling", "1")
    assert scene.notebook.answers[0][0] == "_INBOX.robin"


async def test_why_it_ends_is_a_decision(scene: Scene) -> None:
    await scene.cancel(CANCEL.model_copy(update={"reason": "wrong branch"}))

    [made] = scene.notebook.of(DecisionMade)
    assert (made.decision, made.job_id, made.revision) == ("canceled", BUILD, "a" * 40)
    assert made.reason == "canceled by robin@example.com: wrong branch"
    assert await scene.database.pool.fetchval("SELECT reason FROM decisions") == made.reason


@pytest.mark.parametrize("outcome", Outcome)
async def test_a_build_that_is_canceling_ends_canceled_however_its_job_ends(scene: Scene, outcome: Outcome) -> None:
    await scene.cancel()

    await scene.finish(outcome)

    assert await scene.state() == ("canceled", "canceled", "canceled by robin@example.com")
    assert scene.ends == [Outcome.CANCELED]


async def test_a_canceled_build_of_which_no_job_is_left_says_so_in_its_log(scene: Scene) -> None:
    await scene.cancel()

    await scene.follower.on_gone(GONE, CAUSE)

    assert await scene.state() == ("canceled", "canceled", "canceled by robin@example.com")
    [chunk] = scene.notebook.of(LogChunk)
    assert [chunk.entries[0].text, chunk.entries[1].status] == ["it was not started", "CANCELED"]
    assert scene.ends == [Outcome.CANCELED]


async def test_a_canceled_build_that_is_lost_is_canceled(scene: Scene) -> None:
    await scene.cancel()

    await scene.follower.on_lose(Lose(kind=Kind.BUILD, job_id=BUILD, reason="no job"), CAUSE)

    assert await scene.state() == ("canceled", "canceled", "canceled by robin@example.com")


async def test_an_end_that_is_delivered_again_is_told_again_should_a_crash_have_come_between(scene: Scene) -> None:
    await scene.cancel()
    await scene.finish(Outcome.SUCCEEDED)
    scene.notebook.told.clear()

    await scene.finish(Outcome.SUCCEEDED)

    assert scene.ends == [Outcome.CANCELED]


async def test_a_builder_that_begins_too_late_to_hear_it_is_told_again(scene: Scene) -> None:
    await scene.cancel()
    scene.notebook.told.clear()

    await scene.follower.on_started(STARTED, CAUSE)

    assert (await scene.state())[0] == "canceling"
    assert [each.job_id for each in scene.notebook.of(JobCancel)] == [BUILD]


async def test_the_same_command_again_changes_nothing_and_is_answered_the_same(scene: Scene) -> None:
    first = await scene.cancel()

    assert await scene.cancel() == first
    assert len(scene.notebook.of(JobCancel)) == len(scene.notebook.of(DecisionMade)) == 1


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
async def test_a_build_that_ended_cannot_be_canceled(scene: Scene, outcome: Outcome) -> None:
    await scene.finish(outcome)

    answer = await scene.cancel()

    assert (answer.error, answer.message) == (Error.REFUSED, f"the build {outcome} already")
    assert (await scene.state())[0] == outcome
    assert scene.notebook.of(JobCancel) == []


async def test_a_build_that_waits_for_others_is_canceled_at_once_and_never_requested(scene: Scene) -> None:
    await scene.database.pool.execute("UPDATE builds SET concurrency_group = 'main'")

    answer = await scene.cancel()

    assert answer.status == "canceled"
    assert await scene.state() == ("canceled", "canceled", "canceled by robin@example.com")
    assert scene.notebook.of(JobCancel) == []
    assert scene.ends == [Outcome.CANCELED]


async def test_a_build_that_does_not_exist_cannot_be_canceled(scene: Scene) -> None:
    answer = await scene.cancel(CANCEL.model_copy(update={"job_id": "7"}))

    assert answer.error is Error.NOT_FOUND


@pytest.mark.parametrize("where", ["job.build.1.finished", "$JS.API.STREAM.PURGE.JOBS", "_INBOX.a b", "_INBOX.>"])
def test_an_answer_goes_nowhere_but_to_an_inbox(where: str) -> None:
    with pytest.raises(ValueError, match="reply_to"):
        Cancel(kind=Kind.BUILD, job_id=BUILD, reply_to=where)
