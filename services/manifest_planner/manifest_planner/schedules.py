"""The slots of the `schedules` table: which schedules may be due in a minute. Nobody else writes them."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from estafette_common.database.pool import Database
from estafette_common.triggers.slots import clock_of, slots_at, slots_of

from manifest_planner.trigger_keys import Schedule


class Schedules:
    """Finds schedules by the minute."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def around(self, minute: datetime) -> list[Schedule]:
        """Return the schedules that may be due in a minute, in an order that is always the same."""
        await self._file_new_ones()
        clocks = [row["clock"] for row in await self._database.pool.fetch(CLOCKS)]
        rows = await self._database.pool.fetch(SELECT, sorted(slots_at(minute, clocks)))
        return [Schedule(**row) for row in rows]

    async def _file_new_ones(self) -> None:
        """Put schedules into their slots that are in none yet: they are new, or older than the slots."""
        found = [Schedule(**row) for row in await self._database.pool.fetch(UNFILED)]
        if not found:
            return

        async def work(db: asyncpg.Connection) -> None:
            await _file(db, found)

        await self._database.transact(work)


async def _file(db: asyncpg.Connection, schedules: Sequence[Schedule]) -> None:
    slots = [(slot, each.key) for each in schedules for slot in slots_of(each.schedule, each.timezone)]
    await db.executemany(ADD_SLOT, sorted(slots))
    clocks = {each.key: clock_of(each.schedule, each.timezone) for each in schedules}
    await db.executemany(ADD_CLOCK, sorted({(clock,) for clock in clocks.values()}))
    await db.executemany(SET_CLOCK, sorted(clocks.items()))


UNFILED = "SELECT schedule, timezone FROM schedules WHERE clock IS NULL ORDER BY key"

ADD_SLOT = "INSERT INTO schedule_slots (slot, key) VALUES ($1, $2) ON CONFLICT (slot, key) DO NOTHING"

ADD_CLOCK = "INSERT INTO schedule_clocks (clock) VALUES ($1) ON CONFLICT (clock) DO NOTHING"

SET_CLOCK = "UPDATE schedules SET clock = $2 WHERE key = $1"

CLOCKS = "SELECT clock FROM schedule_clocks ORDER BY clock"

SELECT = """
    SELECT schedule, timezone FROM schedules
    WHERE key IN (SELECT key FROM schedule_slots WHERE slot = ANY($1))
    ORDER BY key
"""
