"""Stored logs, read only."""

import sys
from collections.abc import AsyncIterator
from typing import Any

from estafette_common.bus.messages.logs import CONTROL_ATTEMPT, Entry, LogChunk
from estafette_common.database.pool import Database

from api.ordering import Position

ROWS_AT_ONCE = 16


class Logs:
    """Reads logs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, job_id: str) -> list[Entry]:
        """Return the entries of the newest attempt, and what the control plane has to say after it."""
        attempt = await self._database.pool.fetchval(NEWEST, job_id)
        rows = await self._database.pool.fetch(OF_ATTEMPTS, job_id, [attempt or CONTROL_ATTEMPT, CONTROL_ATTEMPT])
        return [entry for row in rows for entry in LogChunk.decode(row["body"]).entries]

    async def attempts(self, job_id: str) -> list[Any]:
        """Return attempt and time of each log of a job, newest first."""
        return list(await self._database.pool.fetch(ATTEMPTS, job_id))

    async def after(self, job_id: str, position: Position) -> AsyncIterator[LogChunk]:
        """Give the stored chunks of the newest attempt and of the control plane that hold entries after a position.

        There may be gaps: a chunk may be stored before the one ahead of it.
        """
        newest = await self._database.pool.fetchval(NEWEST, job_id)
        for attempt in sorted({newest or CONTROL_ATTEMPT, CONTROL_ATTEMPT}, reverse=True):
            if Position.of(attempt, sys.maxsize) < position:
                continue
            entry = position.entry if attempt == position.attempt else 0
            while rows := await self._database.pool.fetch(FOLLOWING, job_id, attempt, entry, ROWS_AT_ONCE):
                for row in rows:
                    yield LogChunk.decode(row["body"])
                entry = rows[-1]["last_entry"]


NEWEST = "SELECT max(attempt) FROM log_chunks WHERE job_id = $1 AND attempt > 0"

OF_ATTEMPTS = """
    SELECT body FROM log_chunks WHERE job_id = $1 AND attempt = ANY($2)
    ORDER BY attempt = 0, attempt, number
"""

ATTEMPTS = """
    SELECT attempt, max(stored_at) AS inserted_at FROM log_chunks WHERE job_id = $1
    GROUP BY attempt ORDER BY attempt DESC
"""

FOLLOWING = """
    SELECT first_entry + entry_count - 1 AS last_entry, body FROM log_chunks
    WHERE job_id = $1 AND attempt = $2 AND first_entry + entry_count - 1 > $3
    ORDER BY number LIMIT $4
"""
