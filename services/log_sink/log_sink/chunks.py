"""The `log_chunks` table. Nobody else writes it.

A row holds the chunks `number` to `last_number` of an attempt: one as it was published, or many after compaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from estafette_common.bus.messages.logs import LogChunk, SealedLogChunk
from estafette_common.database.pool import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The log of one attempt of a job."""

    job_id: str
    attempt: int


class Chunks:
    """Stores chunks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, chunks: Sequence[SealedLogChunk]) -> None:
        """Store chunks; one that is stored already, alone or within a compacted row, changes nothing."""
        unique = {(chunk.job_id, chunk.attempt, chunk.number): chunk for chunk in chunks}
        rows = sorted(unique.items())
        columns = [
            [chunk.job_id for _, chunk in rows],
            [chunk.attempt for _, chunk in rows],
            [chunk.number for _, chunk in rows],
            [chunk.kind for _, chunk in rows],
            [chunk.first for _, chunk in rows],
            [chunk.count for _, chunk in rows],
            [chunk.ends for _, chunk in rows],
            [chunk.body for _, chunk in rows],
        ]
        # Serializable, for a compaction that ends in the middle shall be seen, here as there.
        await self._database.transact(lambda db: db.execute(INSERT, *columns), isolation="serializable")

    async def ended(self, *, after: Log | None = None) -> list[Log]:
        """Return some logs that ended, are whole and lie in several rows: those that follow `after`."""
        rows = await self._database.pool.fetch(ENDED, after.job_id if after else "", after.attempt if after else 0)
        return [Log(**row) for row in rows]

    async def read(self, log: Log) -> list[tuple[int, int, bytes]]:
        """Return number, last number and body of each row of a log, in order."""
        rows = await self._database.pool.fetch(SELECT, log.job_id, log.attempt)
        return [(row["number"], row["last_number"], row["body"]) for row in rows]

    async def replace(self, log: Log, whole: Sequence[tuple[int, LogChunk, bytes]], *, rows: int) -> bool:
        """Put compacted rows (last number, chunk, body) in the place of all rows of a log.

        Returns False, with nothing changed, when there are not the expected number of rows any more: somebody else
        was faster.
        """

        async def work(db: asyncpg.Connection) -> bool:
            if len(await db.fetch(LOCK, log.job_id, log.attempt)) != rows:
                return False
            await db.execute(DELETE, log.job_id, log.attempt)
            for last_number, chunk, body in whole:
                ends = last_number == whole[-1][0]
                count = len(chunk.entries)
                await db.execute(
                    INSERT_COMPACTED,
                    log.job_id,
                    log.attempt,
                    chunk.number,
                    last_number,
                    chunk.kind,
                    chunk.first,
                    count,
                    ends,
                    body,
                )
            return True

        return await self._database.transact(work, isolation="serializable")


INSERT = """
    INSERT INTO log_chunks (job_id, attempt, number, last_number, kind, first_entry, entry_count, ends, body)
    SELECT c.job_id, c.attempt, c.number, c.number, c.kind, c.first_entry, c.entry_count, c.ends, c.body
    FROM unnest($1::TEXT[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], $7::BOOL[], $8::BYTEA[])
        AS c (job_id, attempt, number, kind, first_entry, entry_count, ends, body)
    WHERE NOT EXISTS (
        SELECT 1 FROM log_chunks AS s
        WHERE s.job_id = c.job_id AND s.attempt = c.attempt AND s.number <= c.number AND s.last_number >= c.number
    )
    ON CONFLICT (job_id, attempt, number) DO NOTHING
"""

ENDED = """
    SELECT e.job_id, e.attempt FROM log_chunks AS e
    WHERE e.ends AND e.number > 1
        AND NOT EXISTS (
            SELECT 1 FROM log_chunks AS c
            WHERE c.job_id = e.job_id AND c.attempt = e.attempt AND c.last_number > c.number
        )
        AND e.number = (SELECT count(*) FROM log_chunks AS c WHERE c.job_id = e.job_id AND c.attempt = e.attempt)
        AND (e.job_id, e.attempt) > ($1, $2)
    ORDER BY e.job_id, e.attempt
    LIMIT 100
"""

SELECT = """
    SELECT number, last_number, body FROM log_chunks WHERE job_id = $1 AND attempt = $2 ORDER BY number
"""

LOCK = "SELECT number FROM log_chunks WHERE job_id = $1 AND attempt = $2 FOR UPDATE"

DELETE = "DELETE FROM log_chunks WHERE job_id = $1 AND attempt = $2"

INSERT_COMPACTED = """
    INSERT INTO log_chunks (job_id, attempt, number, last_number, kind, first_entry, entry_count, ends, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
