"""Which of the builds of the past is the newest one."""

from collections.abc import AsyncIterator

import pytest
from estafette_common.bus.messages.events import GitPushed
from estafette_common.database.pool import Database
from estafette_common.jobs.plan import Repository
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.history import History
from manifest_planner.planning import BuildRow

SHOP = Repository(source="github.com", owner="acme", name="shop")
PUSH = GitPushed(repository=SHOP, ref="refs/heads/main", revision="a" * 40)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


async def add(database: Database, id: str, *, repeats: BuildRow | None = None) -> BuildRow:
    new = NewBuild(id=id, push=PUSH, branch="main", version="1.0.{}".format, manifest="", repeats=repeats)
    return await Builds(database).add(new)


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
