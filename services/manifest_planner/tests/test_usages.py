"""What jobs took, and what is asked for those like them, on a real PostgreSQL; what is told is only written down."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.jobs import JobDispatched, JobFinished, JobLost, JobRequested
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.messages.message import Cause, Encoded, Message
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Repository
from estafette_common.jobs.runtimes import Loss
from estafette_common.jobs.usage import Usage
from manifest_planner.bots import Bots, NewBot
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.follower import Follower, Jobs
from manifest_planner.releases import NewRelease, Releases
from manifest_planner.usages import Past, measured

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CAUSE = Cause(id="1", type="", source="", time=NOW)
SHOP = Repository(source="github.com", owner="acme", name="shop")
STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
TWICE = "{{{0}: {{{2}}}, {1}: {{{2}}}}}"
MANIFEST = (
    f"{STAGES}\nreleases: {TWICE.format('tooling', 'live', STAGES)}\nbots: {TWICE.format('tidy', 'rest', STAGES)}"
)


def past(memory: int | None, cpu: float | None = 0.5, *, outcome: str = "succeeded", oom: bool = False) -> Past:
    return Past(outcome=outcome, memory=memory, cpu=cpu if memory is not None else None, out_of_memory=oom)


def most(memory: int, cpu: float = 0.5, *, oom: bool = False) -> Usage:
    return Usage(memory=memory, cpu=cpu, out_of_memory=oom)


OOM = past(None, outcome="lost", oom=True)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([], None),
        ([past(None)] * 25, None),
        ([past(10)] * 4, None),
        ([past(10)] * 4 + [past(None)] * 21, None),
        ([past(10)] * 5, most(10)),
        ([past(10)] * 5 + [past(None)] * 20, most(10)),
        ([past(10, 0.2), past(30, 0.1), *[past(20, 0.3)] * 3], most(30, 0.3)),
        ([past(10)] * 4 + [past(20, outcome="failed")] * 21, None),
        ([past(10)] * 5 + [past(20, outcome="failed")], most(20)),
        ([past(10)] * 4 + [OOM], None),
        ([past(10)] * 5 + [OOM], most(10, oom=True)),
        ([past(10)] * 5 + [past(30, oom=True)], most(30)),
        ([past(10)] * 5 + [past(30, oom=True, outcome="failed")], most(30, oom=True)),
    ],
    ids=[
        "none",
        "none-measured",
        "four",
        "four-of-many",
        "five",
        "five-of-many",
        "the-most-of-each",
        "four-that-succeeded",
        "the-most-of-one-that-failed",
        "four-and-one-without-memory",
        "five-and-one-without-memory",
        "five-and-one-that-had-enough-at-last",
        "five-and-one-with-a-stage-without-memory",
    ],
)
def test_what_was_taken_is_known_of_five_jobs_that_succeeded(jobs: list[Past], expected: Usage | None) -> None:
    assert measured(jobs) == expected


class Scene:
    """A pipeline whose jobs begin and end at once."""

    def __init__(self, database: Database, queue_of: Any) -> None:
        self.told: dict[str, Message | Encoded | LogChunk] = {}
        self.database = database
        self.builds, self.releases, self.bots = Builds(database), Releases(database), Bots(database)
        self.queue = queue_of(database, self)
        jobs: dict[Kind, Jobs] = {Kind.BUILD: self.builds, Kind.RELEASE: self.releases, Kind.BOT: self.bots}
        self.follower = Follower(jobs, self.queue, self)
        self._count = 0

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        self.told.setdefault(id, message)

    async def build(self, name: str = "shop") -> str:
        new = self._next()
        push = GitPushed(repository=SHOP.model_copy(update={"name": name}), ref="refs/heads/main", revision="a" * 40)
        await self.builds.add(NewBuild(id=new, push=push, branch="main", version=str, manifest=MANIFEST))
        return new

    async def release(self, target: str = "tooling") -> str:
        new, build = self._next(), await self.build()
        await self.releases.add(
            NewRelease(id=new, repository=SHOP, target=target, action="", version="1", build_id=build, events=())
        )
        return new

    async def bot(self, name: str = "tidy") -> str:
        new, build = self._next(), await self.build()
        await self.bots.add(NewBot(id=new, repository=SHOP, bot=name, build_id=build, events=()))
        return new

    async def requested(self, kind: Kind, job_id: str) -> JobRequested:
        """Let a job be asked for, and return how."""
        await self.queue.enter(kind, job_id, "", CAUSE)
        [request] = [each for each in self.told.values() if isinstance(each, JobRequested) and each.job_id == job_id]
        return request

    async def ends(
        self, kind: Kind, job_id: str, usage: Usage | None, *, attempt: int = 1, outcome: Outcome = Outcome.SUCCEEDED
    ) -> None:
        """Let a runtime take a job, and the job end."""
        await self.follower.on_dispatched(JobDispatched(kind=kind, job_id=job_id, runtime="kubernetes", name=""), CAUSE)
        finished = JobFinished(kind=kind, job_id=job_id, attempt=attempt, outcome=outcome, time=NOW, usage=usage)
        await self.follower.on_finished(finished, CAUSE)

    def _next(self) -> str:
        self._count += 1
        return f"{self._count:04}"


@pytest.fixture
async def scene(database_url: str, queue_of: Any) -> AsyncIterator[Scene]:
    database = Database(database_url)
    await database.start()
    yield Scene(database, queue_of)
    await database.stop()


async def test_a_build_is_asked_for_with_what_the_last_25_took(scene: Scene) -> None:
    await scene.ends(Kind.BUILD, await scene.build(), Usage(memory=999, cpu=9.0))
    for number in range(25):
        await scene.ends(Kind.BUILD, await scene.build(), Usage(memory=100 + number, cpu=number / 32))
    for _ in range(3):
        await scene.ends(Kind.BUILD, await scene.build("other"), Usage(memory=500, cpu=5.0))
    await scene.build()  # which did not end yet

    request = await scene.requested(Kind.BUILD, await scene.build())

    assert request.measured == most(124, 0.75)
    assert JobRequested.decode(request.encode(), request.headers).measured == request.measured


@pytest.mark.parametrize(
    ("kind", "add", "others"),
    [(Kind.BUILD, "build", "other"), (Kind.RELEASE, "release", "live"), (Kind.BOT, "bot", "rest")],
)
async def test_only_jobs_alike_are_counted(scene: Scene, kind: Kind, add: str, others: str) -> None:
    job: Callable[..., Awaitable[str]] = getattr(scene, add)
    for _ in range(4):
        await scene.ends(kind, await job(), Usage(memory=100, cpu=0.5))
        await scene.ends(kind, await job(others), Usage(memory=500, cpu=5.0))
    assert (await scene.requested(kind, await job())).measured is None

    await scene.ends(kind, await job(), Usage(memory=101, cpu=0.5))

    assert (await scene.requested(kind, await job())).measured == most(101)
    assert (await scene.requested(kind, await job(others))).measured is None


@pytest.mark.parametrize("again", [False, True])
async def test_a_job_that_ran_out_of_memory_is_remembered_until_it_is_measured(scene: Scene, *, again: bool) -> None:
    for _ in range(5):
        await scene.ends(Kind.BUILD, await scene.build(), Usage(memory=100, cpu=0.5))
    lost = JobLost(
        kind=Kind.BUILD,
        job_id=await scene.build(),
        attempt=1,
        loss=Loss.OUT_OF_MEMORY,
        outcome=Outcome.LOST,
        again=again,
        reason="out of memory",
    )
    await scene.follower.on_lost(lost, CAUSE)

    await scene.ends(Kind.BUILD, lost.job_id, Usage(memory=300, cpu=0.5) if again else None, attempt=2)

    expected = most(300) if again else most(100, oom=True)
    assert (await scene.requested(Kind.BUILD, await scene.build())).measured == expected


async def test_a_build_that_failed_since_a_stage_ran_out_of_memory_is_remembered(scene: Scene) -> None:
    for _ in range(5):
        await scene.ends(Kind.BUILD, await scene.build(), Usage(memory=100, cpu=0.5))

    short = Usage(memory=120, cpu=0.5, out_of_memory=True)
    await scene.ends(Kind.BUILD, await scene.build(), short, outcome=Outcome.FAILED)

    assert (await scene.requested(Kind.BUILD, await scene.build())).measured == short


async def test_messages_of_before_know_of_nothing_measured(scene: Scene) -> None:
    finished = JobFinished(kind=Kind.BUILD, job_id="1", attempt=1, outcome=Outcome.SUCCEEDED, time=NOW)
    assert "usage" not in json.loads(finished.encode())
    assert JobFinished.decode(finished.encode(), {}).usage is None
    request = await scene.requested(Kind.BUILD, await scene.build())
    assert "measured" not in json.loads(request.encode())
    assert JobRequested.decode(request.encode(), {}).measured is None
