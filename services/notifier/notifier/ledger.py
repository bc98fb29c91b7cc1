"""The `commit_statuses` table: what was told. Nobody else writes it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from estafette_common.database.pool import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A status that is to be told."""

    delivered: bool
    tries: int
    """Earlier tries, of which one may have reached the forge."""


class Ledger:
    """Keeps each status of a build to one delivery, over replicas, repeats and crashes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def telling(self, build_id: str, state: str) -> AsyncIterator[Entry]:
        """Hold the status while it is told: leaving without an error records it as delivered.

        The try is recorded before; the row is locked, so that a replica waits for the result.
        """
        await self._database.pool.execute(BEGIN, build_id, state)
        async with self._database.pool.acquire() as connection, connection.transaction():
            [row] = await connection.fetch(LOCK, build_id, state)
            entry = Entry(delivered=row["delivered_at"] is not None, tries=row["tries"] - 1)
            yield entry
            if not entry.delivered:
                await connection.execute(DELIVERED, build_id, state)


BEGIN = """
    INSERT INTO commit_statuses AS c (job_id, state, tries) VALUES ($1, $2, 1)
    ON CONFLICT (job_id, state) DO UPDATE SET tries = c.tries + 1
"""
LOCK = "SELECT tries, delivered_at FROM commit_statuses WHERE job_id = $1 AND state = $2 FOR UPDATE"
DELIVERED = "UPDATE commit_statuses SET delivered_at = now() WHERE job_id = $1 AND state = $2"
