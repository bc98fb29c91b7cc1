"""What is typical of a pipeline and who works on it, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from estafette_common.bus.messages.events import PipelineChanged, PipelineEvent, ReleaseChanged
from estafette_common.bus.messages.message import Cause
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Status
from estafette_common.jobs.plan import Repository
from manifest_planner import figures
from manifest_planner.figures import Run
from manifest_planner.figuring import Figures

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SHOP = Repository(source="github.com", owner="acme", name="shop")
CAUSE = Cause(id="1", type="", source="", time=NOW)

STARTED = PipelineChanged(
    event=PipelineEvent.STARTED,
    build_id="1",
    repository=SHOP,
    branch="main",
    revision="a" * 40,
    version="1",
    status=Status.PENDING,
)
FINISHED = STARTED.model_copy(update={"event": PipelineEvent.FINISHED, "status": Status.SUCCEEDED})
RELEASED = ReleaseChanged(
    event=PipelineEvent.STARTED,
    release_id="1",
    repository=SHOP,
    target="production",
    version="1",
    build_id="1",
    branch="main",
    revision="a" * 40,
    status=Status.PENDING,
)


def run(pending: float, running: float) -> Run:
    started = NOW + timedelta(seconds=pending)
    return Run(NOW, started, started + timedelta(seconds=running))


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], (None, None)),
        ([run(1, 60)], (1_000_000, 60_000_000)),
        ([run(1, 60), run(9, 2000), run(2, 90)], (2_000_000, 90_000_000)),
        ([run(1, 60), run(2, 61)], (1_500_000, 60_500_000)),
        ([run(-1, 60)], (0, 60_000_000)),
    ],
)
def test_medians_are_of_the_time_before_the_start_and_after_it(
    runs: list[Run], expected: tuple[int | None, int | None]
) -> None:
    assert figures.medians(runs) == expected


class Scene:
    """A pipeline, and what is known of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.figures = Figures(database)

    async def built(self, number: int, *authors: str, ago: timedelta, status: str = "succeeded", ran: int = 60) -> None:
        at = NOW - ago
        await self.database.pool.execute(
            """
            INSERT INTO builds (id, source, owner, name, branch, revision, counter, version, status, labels, manifest,
                commits, trigger_events, inserted_at, started_at, finished_at)
            VALUES ($1, 'github.com', 'acme', 'shop', 'main', 'a', $2, $1, $3, '[]', '', $4, '[]', $5, $6, $7)
            """,
            str(number), number, status, [{"message": "", "author": {"email": each}} for each in authors], at,
            at + timedelta(seconds=number), at + timedelta(seconds=number + ran),
        )  # fmt: skip

    async def released(self, number: int, event: dict[str, Any], *, ago: timedelta) -> None:
        await self.database.pool.execute(
            """
            INSERT INTO releases (id, source, owner, name, target, action, version, build_id, status, trigger_events,
                hops, inserted_at)
            VALUES ($1, 'github.com', 'acme', 'shop', 'production', '', '1', '1', 'pending', $2, 0, $3)
            """,
            str(number), [event], NOW - ago,
        )  # fmt: skip

    async def pipeline(self) -> Any:
        return await self.database.pool.fetchrow("SELECT * FROM pipelines")


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    database = Database(database_url)
    await database.start()
    await database.pool.execute("INSERT INTO pipelines (source, owner, name) VALUES ('github.com', 'acme', 'shop')")
    yield Scene(database)
    await database.stop()


async def test_medians_are_of_the_last_ten_builds_that_succeeded(scene: Scene) -> None:
    for number in range(1, 14):
        await scene.built(number, ago=timedelta(hours=100 - number), ran=number * 10)
    await scene.built(99, ago=timedelta(hours=1), status="failed", ran=100_000)

    await scene.figures.on_build(FINISHED, CAUSE)

    pipeline = await scene.pipeline()
    assert (pipeline["median_pending"], pipeline["median_duration"]) == (8_500_000, 85_000_000)


async def test_committers_are_the_authors_of_the_last_ten_builds_of_a_week(scene: Scene) -> None:
    await scene.built(1, "long-ago@example.com", ago=timedelta(days=8))
    await scene.built(2, "eleventh@example.com", ago=timedelta(days=6))
    for number in range(3, 12):
        await scene.built(number, "robin@example.com", ago=timedelta(hours=100 - number), status="failed")
    await scene.built(12, "kim@example.com", "", ago=timedelta(hours=1), status="pending")

    for _ in range(2):
        await scene.figures.on_build(STARTED, CAUSE)

    emails = [each["email"] for each in (await scene.pipeline())["recent_committers"]]
    assert emails == ["kim@example.com", "robin@example.com"]


async def test_releasers_are_the_people_who_released_within_a_week(scene: Scene) -> None:
    await scene.released(1, {"manual": {"userID": "long-ago@example.com"}}, ago=timedelta(days=8))
    await scene.released(2, {"manual": {"userID": "robin@example.com"}}, ago=timedelta(days=2))
    await scene.released(3, {"manual": {"userID": "kim@example.com"}}, ago=timedelta(days=1))
    await scene.released(4, {"manual": {"userID": "robin@example.com"}}, ago=timedelta(hours=1))
    await scene.released(5, {"manual": {"userID": ""}}, ago=timedelta(hours=1))
    await scene.released(6, {"pipeline": {"event": "finished"}}, ago=timedelta(hours=1))

    await scene.figures.on_release(RELEASED, CAUSE)

    releasers = (await scene.pipeline())["recent_releasers"]
    assert [each["email"] for each in releasers] == ["robin@example.com", "kim@example.com"]
    assert datetime.fromisoformat(releasers[0]["at"]) == NOW - timedelta(hours=1)
