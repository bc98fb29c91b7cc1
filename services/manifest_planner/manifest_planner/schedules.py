"""The slots of the `schedules` table: which schedules may be due in a minute. Nobody else writes them."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from estafette_common.database.pool import Database
from estafette_common.triggers.slots import slots_at, slots_of

from manifest_planner.trigger_keys import Schedule


class Schedules:
    """Finds schedules by the minute."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def around(self, minute: datetime) -> list[Schedule]:
        """Return the schedules that may be due in a minute, in an order that is always the same."""
        await self._file_new_ones()
        timezones = [row["timezone"] for row in await self._database.pool.fetch(TIMEZONES)]
        rows = await self._database.pool.fetch(SELECT, sorted(slots_at(minute, timezones)))
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
    await db.executemany(ADD_TIMEZONE, sorted({(each.timezone,) for each in schedules}))
    await db.execute(FILED, [each.key for each in schedules])


UNFILED = "SELECT schedule, timezone FROM schedules WHERE NOT filed ORDER BY key"

ADD_SLOT = "INSERT INTO schedule_slots (slot, key) VALUES ($1, $2) ON CONFLICT (slot, key) DO NOTHING"

ADD_TIMEZONE = "INSERT INTO schedule_timezones (timezone) VALUES ($1) ON CONFLICT (timezone) DO NOTHING"

FILED = "UPDATE schedules SET filed = true WHERE key = ANY($1)"

TIMEZONES = "SELECT timezone FROM schedule_timezones ORDER BY timezone"

SELECT = """
    SELECT schedule, timezone FROM schedules
    WHERE key IN (SELECT key FROM schedule_slots WHERE slot = ANY($1))
    ORDER BY key
"""
