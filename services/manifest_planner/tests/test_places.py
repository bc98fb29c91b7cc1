"""Pipelines follow their repositories with all of their history, on a real PostgreSQL, in whatever order news come."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from estafette_common.bus.messages.events import DecisionMade, GithubEvent, GitPushed
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.messages.message import Cause, Encoded, Message
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.reading import read
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.decisions import Decisions
from manifest_planner.declared import declared
from manifest_planner.places import Places
from manifest_planner.planning import BuildRow
from manifest_planner.releases import NewRelease, Releases
from manifest_planner.repositories import Repositories
from manifest_planner.triggers import Triggers

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
MANIFEST = f"{STAGES}\nreleases: {{tooling: {{triggers: [{{pipeline: {{name: self}}}}], {STAGES}}}}}"


def place(name: str) -> Repository:
    return Repository(source="github.com", owner="acme", name=name)


SHOP, STORE, MARKET = place("shop"), place("store"), place("market")


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


class Scene:
    """A planner's tables."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.builds, self.releases = Builds(database), Releases(database)
        self.places, self.triggers = Places(database), Triggers(database)

    async def build(self, id: str, where: Repository, *, heard_at: datetime | None = None, group: str = "") -> BuildRow:
        """Add a build that succeeds, or one that waits in a group."""
        new = NewBuild(
            id=id,
            push=GitPushed(repository=where, ref="refs/heads/main", revision="a" * 40),
            branch="main",
            version=str,
            manifest=MANIFEST,
            declared=declared(read(MANIFEST), where.pipeline),
            heard_at=heard_at,
            concurrency_group=group,
        )
        row = await self.builds.add(new)
        if not group:
            await self.builds.finished(id, Outcome.SUCCEEDED, at=NOON)
        return row

    async def release(self, id: str, where: Repository, build_id: str, *, when: datetime) -> None:
        """Release a build to tooling."""
        new = NewRelease(id=id, repository=where, target="tooling", action="", version=id, build_id=build_id, events=())
        await self.releases.add(new)
        await self.releases.finished(id, Outcome.SUCCEEDED, at=when)

    async def history(self, where: Repository) -> list[str]:
        """Return the builds of a pipeline."""
        rows = await self.database.pool.fetch("SELECT id FROM builds WHERE name = $1 ORDER BY id", where.name)
        return [row["id"] for row in rows]

    async def waiting(self, where: Repository) -> list[str]:
        """Return the pipelines that wait for builds of a pipeline."""
        return [each.repository.name for each in await self.triggers.candidates("pipeline", [where.pipeline])]


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    database = Database(database_url)
    await database.start()
    yield Scene(database)
    await database.stop()


async def test_a_pipeline_moves_with_its_history_its_numbers_and_what_is_live(scene: Scene) -> None:
    await scene.build("1", SHOP)
    await scene.release("r", SHOP, "1", when=NOON)

    await scene.places.move(SHOP, STORE, at=at(1))

    build = await scene.build("2", STORE)
    assert (await scene.history(STORE), await scene.history(SHOP)) == (["1", "2"], [])
    assert build.version == "2"
    assert await scene.releases.live(STORE, "tooling", "") == "r"
    assert await scene.releases.live(SHOP, "tooling", "") == ""


async def test_triggers_on_itself_follow_a_pipeline(scene: Scene) -> None:
    await scene.build("1", SHOP)

    await scene.places.move(SHOP, STORE, at=at(1))

    assert (await scene.waiting(STORE), await scene.waiting(SHOP)) == (["store"], [])


async def test_a_build_that_waits_goes_on_waiting_in_the_group_of_the_new_name(scene: Scene) -> None:
    await scene.build("1", SHOP, group=f"{SHOP.pipeline} main")

    await scene.places.move(SHOP, STORE, at=at(1))

    assert await scene.database.pool.fetchval("SELECT concurrency_group FROM builds") == f"{STORE.pipeline} main"


async def test_a_push_from_before_the_move_is_of_the_new_place(scene: Scene) -> None:
    await scene.build("1", SHOP)
    await scene.places.move(SHOP, STORE, at=at(1))

    build = await scene.build("2", SHOP, heard_at=at(0.5))

    assert (build.repository, build.version) == (STORE, "2")
    assert await scene.waiting(STORE) == ["store"]


async def test_a_push_after_the_move_is_of_a_new_repository_under_the_old_name(scene: Scene) -> None:
    await scene.build("1", SHOP)
    await scene.places.move(SHOP, STORE, at=at(1))

    build = await scene.build("2", SHOP, heard_at=at(2))

    assert (build.repository, build.version) == (SHOP, "1")
    await scene.places.move(SHOP, STORE, at=at(1))
    assert await scene.history(SHOP) == ["2"]


async def test_builds_that_came_under_the_new_name_before_the_news_stay(scene: Scene) -> None:
    for number in "123":
        await scene.build(number, SHOP)
    await scene.release("old", SHOP, "1", when=at(0))
    await scene.build("4", STORE)
    await scene.release("new", STORE, "4", when=at(1))

    await scene.places.move(SHOP, STORE, at=at(1))

    assert await scene.history(STORE) == ["1", "2", "3", "4"]
    assert (await scene.build("5", STORE)).version == "4"
    assert await scene.releases.live(STORE, "tooling", "") == "new"


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
async def test_moves_end_at_the_same_place_in_any_order_and_when_told_again(
    scene: Scene, order: tuple[int, ...]
) -> None:
    moves = [(SHOP, STORE, at(1)), (STORE, MARKET, at(2)), (MARKET, SHOP, at(3))]
    await scene.build("1", SHOP)

    for number in (*order, *order):
        old, new, when = moves[number]
        await scene.places.move(old, new, at=when)

    assert await scene.history(SHOP) == ["1"]
    assert (await scene.build("2", MARKET, heard_at=at(2.5))).repository == SHOP


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
async def test_what_was_told_last_says_whether_a_pipeline_is_archived(scene: Scene, order: tuple[int, ...]) -> None:
    await scene.build("1", SHOP)
    for number in order:
        if number == 0:
            await scene.places.archive(SHOP, archived=True, at=at(1))
        elif number == 1:
            await scene.places.move(SHOP, STORE, at=at(2))
        else:
            await scene.places.archive(STORE, archived=False, at=at(3))

    assert await scene.waiting(STORE) == ["store"]


async def test_triggers_of_an_archived_pipeline_wait_for_nothing(scene: Scene) -> None:
    await scene.build("1", SHOP)

    await scene.places.archive(SHOP, archived=True, at=at(1))

    assert await scene.waiting(SHOP) == []
    assert await scene.history(SHOP) == ["1"]


class Notebook:
    """A publisher that writes down what is told."""

    def __init__(self) -> None:
        self.told: list[DecisionMade] = []

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        assert isinstance(message, DecisionMade)
        self.told.append(message)


class Inline:
    """Payloads that travel in their messages."""

    async def of(self, event: GithubEvent) -> bytes:
        return event.payload


def renamed(old: str, new: str) -> Any:
    repository = f'{{"name": "{new}", "owner": {{"login": "acme"}}}}'
    changes = f'{{"repository": {{"name": {{"from": "{old}"}}}}}}'
    payload = f'{{"action": "renamed", "repository": {repository}, "changes": {changes}}}'
    return GithubEvent(kind="repository", payload=payload.encode())


async def test_a_webhook_that_is_sent_again_much_later_is_no_news(scene: Scene) -> None:
    notebook = Notebook()
    repositories = Repositories(scene.places, Inline(), Decisions(scene.database), notebook)
    first = Cause(id="1", type="", source="", time=at(1))
    await scene.build("1", SHOP)

    await repositories.on_github(renamed("shop", "store"), first)
    await repositories.on_github(renamed("store", "shop"), Cause(id="2", type="", source="", time=at(2)))
    await repositories.on_github(renamed("shop", "store"), replace(first, time=at(60)))

    assert await scene.history(SHOP) == ["1"]
    assert [(each.decision, each.repository.name) for each in notebook.told] == [
        ("moved", "store"),
        ("moved", "shop"),
        ("moved", "store"),
    ]
    assert notebook.told[0].reason == "github.com/acme/shop was renamed; it is github.com/acme/store now"
