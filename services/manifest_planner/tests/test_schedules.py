"""Which schedules are looked at in a minute."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from estafette_common.database.pool import Database
from manifest_planner.schedules import Schedules
from manifest_planner.trigger_keys import Schedule

SUMMER = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)
WINTER = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


async def store(database: Database, *schedules: Schedule) -> None:
    """Store schedules as those of triggers are."""
    await database.pool.executemany(
        "INSERT INTO schedules (key, schedule, timezone) VALUES ($1, $2, $3)",
        [(each.key, each.schedule, each.timezone) for each in schedules],
    )


async def test_only_those_that_may_be_due_are_looked_at(database: Database) -> None:
    at_three, on_mondays, broken = Schedule("0 3 * * *"), Schedule("0 3 * * 1"), Schedule("not one")
    await store(database, at_three, on_mondays, broken, Schedule("1 3 * * *"), Schedule("@every 11m"))

    assert await Schedules(database).around(SUMMER) == [at_three, on_mondays]


async def test_those_of_a_time_zone_follow_its_clock(database: Database) -> None:
    at_four, at_five = Schedule("0 4 * * *", "Europe/Amsterdam"), Schedule("0 5 * * *", "Europe/Amsterdam")
    await store(database, at_four, at_five)
    schedules = Schedules(database)

    assert [await schedules.around(minute) for minute in (WINTER, SUMMER)] == [[at_four], [at_five]]


async def test_one_that_comes_later_is_looked_at_from_the_next_minute_on(database: Database) -> None:
    schedules, late = Schedules(database), Schedule("0 3 * * *")

    assert await schedules.around(SUMMER) == []
    await store(database, late)
    assert await schedules.around(SUMMER) == [late]
