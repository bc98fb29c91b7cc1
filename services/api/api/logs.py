"""Stored logs, read only."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from estafette_common.bus.messages.logs import CONTROL_ATTEMPT, Entry, LogChunk
from estafette_common.database.pool import Database


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The place of an entry in the log of a job: the control plane's attempt comes last."""

    last: bool
    attempt: int
    entry: int

    @classmethod
    def of(cls, attempt: int, entry: int) -> "Position":
        """Return the position of an entry of an attempt."""
        return cls(attempt == CONTROL_ATTEMPT, attempt, entry)

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that an event id names; the very beginning when it names none."""
        attempt, _, entry = text.partition("-")
        if attempt.isdigit() and entry.isdigit():
            return cls.of(int(attempt), int(entry))
        return BEGINNING

    def __str__(self) -> str:
        """Return the position as the id of an event."""
        return f"{self.attempt}-{self.entry}"


BEGINNING = Position(last=False, attempt=0, entry=0)


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
        """Give what is stored of the newest attempts, from the chunk on that holds the position."""
        newest = await self._database.pool.fetchval(NEWEST, job_id)
        for row in await self._database.pool.fetch(CHUNKS, job_id, newest or CONTROL_ATTEMPT):
            start = Position.of(row["attempt"], row["first_entry"] + row["entry_count"] - 1)
            if start > position:
                yield LogChunk.decode(await self._database.pool.fetchval(BODY, job_id, row["attempt"], row["number"]))


NEWEST = "SELECT max(attempt) FROM log_chunks WHERE job_id = $1 AND attempt > 0"

OF_ATTEMPTS = """
    SELECT body FROM log_chunks WHERE job_id = $1 AND attempt = ANY($2)
    ORDER BY attempt = 0, attempt, number
"""

ATTEMPTS = """
    SELECT attempt, max(stored_at) AS inserted_at FROM log_chunks WHERE job_id = $1
    GROUP BY attempt ORDER BY attempt DESC
"""

CHUNKS = """
    SELECT attempt, number, first_entry, entry_count FROM log_chunks
    WHERE job_id = $1 AND attempt IN ($2, 0)
    ORDER BY attempt = 0, attempt, number
"""

BODY = "SELECT body FROM log_chunks WHERE job_id = $1 AND attempt = $2 AND number = $3"
