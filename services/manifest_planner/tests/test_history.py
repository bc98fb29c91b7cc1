"""Which of the builds of the past is the newest one, for whoever asks: numbers alone do not say it."""

from collections.abc import AsyncIterator

import pytest
from estafette_common.bus.messages.events import GitPushed
from estafette_common.database.pool import Database
from estafette_common.jobs.plan import Repository
from estafette_common.triggers.model import BuildAction, PipelineTrigger, Trigger
from manifest_planner import known
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.declared import Declared
from manifest_planner.history import History
from manifest_planner.memories import Memories
from manifest_planner.planning import BuildRow

SHOP = Repository(source="github.com", owner="acme", name="shop")
PUSH = GitPushed(repository=SHOP, ref="refs/heads/main", revision="a" * 40)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


async def add(
    database: Database, id: str, *, repeats: BuildRow | None = None, manifest: str = "", app: str | None = None
) -> BuildRow:
    labels = {"app": app} if app else {}
    new = NewBuild(
        id=id,
        push=PUSH,
        branch="main",
        version=f"{id}.0.{{}}".format,
        manifest=manifest,
        repeats=repeats,
        declared=Declared(labels=labels, release_targets=(), triggers=()) if app else None,
    )
    return await Builds(database).add(new)


async def two_of_a_number(database: Database, *, newer: str, older: str) -> None:
    """Store two builds of the same number that succeeded, as two pipelines that became one have them."""
    for build_id in (newer, older):
        await add(database, build_id, app=build_id)
        await database.pool.execute("UPDATE builds SET number_taken = NULL WHERE id = $1", build_id)
    await database.pool.execute("UPDATE builds SET counter = 1, status = 'succeeded'")
    await database.pool.execute("UPDATE builds SET inserted_at = now() - interval '1 hour' WHERE id = $1", older)


@pytest.mark.parametrize("touched_last", ["1", "2"])
async def test_a_build_that_repeats_the_newest_one_is_newer(database: Database, touched_last: str) -> None:
    """They have the same number; which row was written last says nothing."""
    first = await add(database, "1")
    await database.pool.execute("UPDATE builds SET status = 'failed'")
    await add(database, "2", repeats=first)
    await database.pool.execute("UPDATE builds SET updated_at = now() WHERE id = $1", touched_last)

    for branch in (None, "main"):
        newest = await History(database).newest(SHOP, branch=branch)
        assert newest is not None
        assert newest.id == "2"


PAIRS = [("1", "2"), ("2", "1")]


@pytest.mark.parametrize(("newer", "older"), PAIRS)
async def test_of_two_with_a_number_the_later_one_says_what_a_broken_manifest_keeps(
    database: Database, newer: str, older: str
) -> None:
    await two_of_a_number(database, newer=newer, older=older)

    await add(database, "3")

    labels = await database.pool.fetchval("SELECT labels FROM builds WHERE id = '3'")
    assert labels == [{"key": "app", "value": newer}]


@pytest.mark.parametrize(("newer", "older"), PAIRS)
async def test_of_two_with_a_number_a_named_trigger_remembers_the_later_one(
    database: Database, newer: str, older: str
) -> None:
    await two_of_a_number(database, newer=newer, older=older)
    upstream = PipelineTrigger(event="finished", status="succeeded", name=SHOP.pipeline, branch="main")
    named = Trigger(upstream, BuildAction(branch="main"), "upstream")

    [remembered] = await Memories(database).recall([named])

    assert remembered["pipeline"]["buildVersion"].startswith(newer)


@pytest.mark.parametrize(("newer", "older"), PAIRS)
async def test_of_two_with_a_number_what_if_knows_the_later_one_as_the_latest(
    database: Database, database_url: str, newer: str, older: str
) -> None:
    await two_of_a_number(database, newer=newer, older=older)

    assert (await known.state(database_url, SHOP)).latest.startswith(newer)


async def test_a_rebuild_of_an_older_version_does_not_make_it_the_newest(database: Database) -> None:
    older = await add(database, "1")
    await database.pool.execute("UPDATE builds SET status = 'failed'")
    await add(database, "2")
    await add(database, "3", repeats=older)

    newest = await History(database).newest(SHOP)

    assert newest is not None
    assert newest.id == "2"
