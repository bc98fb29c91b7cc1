"""How releases and bots begin, live and end, on a real PostgreSQL; what is told is only written down."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from estafette_common.bus import identity
from estafette_common.bus.messages.events import GitPushed, ReleaseChanged
from estafette_common.bus.messages.jobs import (
    JobCancel,
    JobDispatched,
    JobFailedToStart,
    JobFinished,
    JobRequested,
    JobStarted,
)
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.messages.message import Cause, Encoded, Message
from estafette_common.bus.publishing import NotStoredError
from estafette_common.database.pool import Database
from estafette_common.github.client import GithubClient
from estafette_common.github.settings import GithubSettings
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Repository
from estafette_common.manifest import secrets
from estafette_common.triggers.model import ReleaseAction, RunAction
from manifest_planner.bots import Bots
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.choosing import Chooser
from manifest_planner.chosen import Before
from manifest_planner.concurrency import Rules
from manifest_planner.control import EVERYTHING, Control
from manifest_planner.control import read as read_control
from manifest_planner.follower import Follower, Jobs
from manifest_planner.history import History
from manifest_planner.launching import Launcher, Wish
from manifest_planner.releases import Releases
from manifest_planner.runner import Runner
from manifest_planner.sealing import Sealer

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SHOP = Repository(source="github.com", owner="acme", name="shop")
STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
MANIFEST = f"{STAGES}\nreleases: {{tooling: {{{STAGES}}}}}\nbots: {{tidy: {{{STAGES}}}}}"
WISH = Wish(repository=SHOP, event={"fired": True, "manual": {"userID": "robin"}}, reason="robin wants it")
TOOLING = ReleaseAction(target="tooling", version="latest")
TIDY = RunAction(bot="tidy")


def cause(id: str) -> Cause:
    return Cause(id=id, type="", source="", time=NOW)


class Notebook:
    """A publisher that stores the same id once and breaks down after `lasts` messages; it shows what was told."""

    def __init__(self, lasts: int = 100) -> None:
        self.lasts = lasts
        self.told: dict[str, Message | Encoded | LogChunk] = {}

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        if len(self.told) == self.lasts:
            raise NotStoredError("the server is gone")
        self.told.setdefault(id, message)

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.told.values() if isinstance(each, kind)]


class Scene:
    """A pipeline with a planner."""

    def __init__(self, database: Database, queue_of: Any) -> None:
        self.database = database
        self._queue_of = queue_of
        self.builds, self.releases, self.bots = Builds(database), Releases(database), Bots(database)
        self.notebook = Notebook()
        self.sealer = Sealer(os.urandom(32), GithubClient(GithubSettings()))
        jobs: dict[Kind, Jobs] = {Kind.BUILD: self.builds, Kind.RELEASE: self.releases, Kind.BOT: self.bots}
        self.follower = Follower(jobs, queue_of(database, self.notebook), self.notebook)

    def launcher(self, notebook: Notebook | None = None, *, control: Control = EVERYTHING) -> Launcher:
        """Return a planner's part that begins releases and bots."""
        bus = notebook or self.notebook
        queue = self._queue_of(self.database, bus)
        runner = Runner(self.releases, self.bots, self.sealer, queue, bus, rules=Rules())
        chooser = Chooser(History(self.database), self.releases, control)
        return Launcher(chooser, Before(self.builds, self.releases, self.bots), runner)

    async def built(self, id: str, *, manifest: str = MANIFEST) -> None:
        """Add a build that succeeded."""
        push = GitPushed(repository=SHOP, ref="refs/heads/main", revision="a" * 40)
        await self.builds.add(NewBuild(id=id, push=push, branch="main", version=str, manifest=manifest))
        await self.builds.finished(id, Outcome.SUCCEEDED, at=NOW)

    async def released(self, id: str, *, at: datetime, outcome: Outcome = Outcome.SUCCEEDED) -> str:
        """Release the newest build, and let that end; return the id."""
        begun = await self.launcher().release(WISH, TOOLING, cause(id))
        assert begun.job_id is not None
        finished = JobFinished(kind=Kind.RELEASE, job_id=begun.job_id, attempt=1, outcome=outcome, time=at)
        await self.follower.on_finished(finished, cause("end"))
        return begun.job_id

    async def live(self) -> str:
        """Return the version that is live."""
        return await self.releases.live(SHOP, "tooling", "")


@pytest.fixture
async def scene(database_url: str, queue_of: Any) -> AsyncIterator[Scene]:
    database = Database(database_url)
    await database.start()
    scene = Scene(database, queue_of)
    await scene.built("1")
    yield scene
    await database.stop()


@pytest.mark.parametrize("messages", range(2))
async def test_a_release_is_requested_and_told_wherever_its_planner_dies(scene: Scene, messages: int) -> None:
    with pytest.raises(NotStoredError):
        await scene.launcher(Notebook(lasts=messages)).release(WISH, TOOLING, cause("1"))
    await scene.built("2")  # what was chosen stays chosen

    begun = await scene.launcher().release(WISH, TOOLING, cause("1"))

    assert (begun.decision, begun.job_id) == ("started", identity.job_id(SHOP.pipeline, "1"))
    [request] = scene.notebook.of(JobRequested)
    assert request.plan.version.version == "1"
    assert [change.event for change in scene.notebook.of(ReleaseChanged)] == ["started"]
    assert await scene.database.pool.fetchval("SELECT count(*) FROM releases") == 1


async def test_a_bot_is_requested_wherever_its_planner_dies(scene: Scene) -> None:
    with pytest.raises(NotStoredError):
        await scene.launcher(Notebook(lasts=0)).bot(WISH, TIDY, cause("1"))

    await scene.launcher().bot(WISH, TIDY, cause("1"))

    assert len(scene.notebook.of(JobRequested)) == 1
    assert await scene.database.pool.fetchval("SELECT count(*) FROM bots") == 1


async def test_a_release_that_was_dispatched_is_not_requested_again(scene: Scene) -> None:
    begun = await scene.launcher().release(WISH, TOOLING, cause("1"))
    dispatched = JobDispatched(kind=Kind.RELEASE, job_id=begun.job_id or "", runtime="local", name="r")
    await scene.follower.on_dispatched(dispatched, cause("2"))
    later = Notebook()

    await scene.launcher(later).release(WISH, TOOLING, cause("1"))

    assert later.of(JobRequested) == []
    assert [change.event for change in later.of(ReleaseChanged)] == ["started"]


async def test_a_release_with_a_secret_that_cannot_be_opened_is_rejected_with_its_log(scene: Scene) -> None:
    envelope = secrets.encrypt("hunter2", key=os.urandom(32))
    await scene.built("2", manifest=f"env: {{A: '{envelope}'}}\n{MANIFEST}")

    begun = await scene.launcher().release(WISH, TOOLING, cause("1"))

    assert begun.decision == "rejected"
    assert scene.notebook.of(JobRequested) == []
    [chunk] = scene.notebook.of(LogChunk)
    assert (chunk.kind, chunk.entries[0].stage) == ("release", "validate-secrets")
    assert [change.outcome for change in scene.notebook.of(ReleaseChanged)] == [None, "rejected"]


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.BOT])
async def test_releases_and_bots_follow_their_jobs_as_builds_do(scene: Scene, kind: Kind) -> None:
    launcher, table = scene.launcher(), f"{kind}s"
    begun = await (
        launcher.bot(WISH, TIDY, cause("1")) if kind is Kind.BOT else launcher.release(WISH, TOOLING, cause("1"))
    )
    job_id = begun.job_id or ""

    await scene.follower.on_started(JobStarted(kind=kind, job_id=job_id, attempt=2, time=NOW), cause("2"))
    end = NOW + timedelta(seconds=5)
    finished = JobFinished(kind=kind, job_id=job_id, attempt=2, outcome=Outcome.FAILED, time=end, reason="deploy")
    await scene.follower.on_finished(finished, cause("3"))

    row = await scene.database.pool.fetchrow(f"SELECT * FROM {table} WHERE id = $1", job_id)
    assert row is not None
    assert (row["status"], row["outcome"], row["attempt"], row["reason"]) == ("failed", "failed", 2, "deploy")
    assert row["finished_at"] - row["started_at"] == timedelta(seconds=5)


async def test_a_release_that_no_runtime_takes_is_lost_and_says_why(scene: Scene) -> None:
    begun = await scene.launcher().release(WISH, TOOLING, cause("1"))
    failed = JobFailedToStart(kind=Kind.RELEASE, job_id=begun.job_id or "", reason="too large")

    await scene.follower.on_failed_to_start(failed, cause("2"))

    *_, told = scene.notebook.of(ReleaseChanged)
    assert (told.event, told.outcome, told.reason) == ("finished", "lost", "too large")


async def test_a_release_is_canceled_once_nothing_of_it_is_left(scene: Scene) -> None:
    begun = await scene.launcher().release(WISH, TOOLING, cause("1"))
    job_id = begun.job_id or ""

    await scene.follower.cancel(Kind.RELEASE, job_id, "robin changed his mind", cause("2"))

    assert [cancel.kind for cancel in scene.notebook.of(JobCancel)] == ["release"]
    finished = JobFinished(kind=Kind.RELEASE, job_id=job_id, attempt=1, outcome=Outcome.SUCCEEDED, time=NOW)
    await scene.follower.on_finished(finished, cause("3"))
    *_, told = scene.notebook.of(ReleaseChanged)
    assert (told.event, told.outcome) == ("finished", "canceled")
    assert await scene.live() == ""


async def test_the_release_that_ended_last_is_live(scene: Scene) -> None:
    await scene.released("1", at=NOW)
    await scene.built("2")
    await scene.released("2", at=NOW + timedelta(minutes=1))

    assert await scene.live() == "2"


async def test_the_end_of_an_earlier_release_that_is_heard_of_later_changes_nothing_that_is_live(scene: Scene) -> None:
    await scene.released("1", at=NOW + timedelta(minutes=1))
    await scene.built("2")

    await scene.released("2", at=NOW)

    assert await scene.live() == "1"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELED, Outcome.TIMED_OUT])
async def test_a_release_that_did_not_succeed_leaves_live_what_is(scene: Scene, outcome: Outcome) -> None:
    await scene.released("1", at=NOW)
    await scene.built("2")

    await scene.released("2", at=NOW + timedelta(minutes=1), outcome=outcome)

    assert await scene.live() == "1"


async def test_current_releases_what_is_live(scene: Scene) -> None:
    await scene.released("1", at=NOW)
    await scene.built("2")

    begun = await scene.launcher().release(WISH, ReleaseAction("tooling", "", "current"), cause("3"))

    assert begun.build is not None
    assert begun.build.version == "1"


async def test_a_version_that_failed_cannot_be_released(scene: Scene) -> None:
    push = GitPushed(repository=SHOP, ref="refs/heads/main", revision="a" * 40)
    await scene.builds.add(NewBuild(id="2", push=push, branch="main", version=str, manifest=MANIFEST))
    await scene.builds.finished("2", Outcome.FAILED, at=NOW)

    begun = await scene.launcher().release(WISH, ReleaseAction("tooling", "", "2"), cause("1"))

    assert (begun.decision, begun.reason) == ("ignored", "no build of version 2 has succeeded")


async def test_a_release_that_the_server_does_not_let_be_is_refused(scene: Scene) -> None:
    control = read_control({"release": {"repositories": {"*": {"allowed": ["release"]}}, "restrictedClusters": [".*"]}})

    begun = await scene.launcher(control=control).release(WISH, TOOLING, cause("1"))

    assert (begun.decision, begun.job_id) == ("refused", None)
    assert begun.reason == "branch main of github.com/acme/shop is not allowed to be released to tooling"
    assert scene.notebook.told == {}


async def test_same_releases_the_newest_build_even_before_it_ends(scene: Scene) -> None:
    push = GitPushed(repository=SHOP, ref="refs/heads/main", revision="a" * 40)
    await scene.builds.add(NewBuild(id="2", push=push, branch="main", version=str, manifest=MANIFEST))
    wish = Wish(repository=SHOP, event={"fired": True, "pipeline": {"buildVersion": "2"}}, reason="it started")

    begun = await scene.launcher().release(wish, ReleaseAction("tooling", "", "same"), cause("1"))

    assert begun.build is not None
    assert begun.build.version == "2"


async def test_a_bot_runs_with_the_newest_build_of_its_branch_if_there_is_one(scene: Scene) -> None:
    push = GitPushed(repository=SHOP, ref="refs/heads/feature", revision="b" * 40)
    await scene.builds.add(NewBuild(id="2", push=push, branch="feature", version=str, manifest=MANIFEST))

    runs = [await scene.launcher().bot(WISH, RunAction("tidy", branch), cause(branch)) for branch in ("main", "gone")]

    assert [run.build.id for run in runs if run.build] == ["1", "2"]
