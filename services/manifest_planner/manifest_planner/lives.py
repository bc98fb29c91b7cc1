"""The life of jobs in the tables of manifest-planner: forward only, and the same for builds, releases and bots."""

from datetime import datetime
from typing import Any, Literal

import asyncpg
import structlog
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import FINAL, Outcome, Status, may_follow

log = structlog.get_logger()

Table = Literal["builds", "releases", "bots"]


class Lives:
    """Moves the jobs of one table forward."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    async def dispatched(self, job_id: str, at: datetime) -> None:
        """Note that a runtime took the job."""
        await self._database.pool.execute(self._of(DISPATCHED), job_id, at)

    async def heartbeat(self, job_id: str, *, attempt: int, at: datetime) -> None:
        """Note a sign of life of an attempt. It may be the first one to be heard of."""
        await self._database.pool.execute(self._of(HEARTBEAT), job_id, attempt, at)

    async def started(self, job_id: str, *, attempt: int, at: datetime) -> None:
        """Note that an attempt began: pending becomes running."""
        await self._database.pool.execute(self._of(HEARTBEAT), job_id, attempt, at)
        await self._database.pool.execute(self._of(STARTED_AT), job_id, at)
        await self._move(job_id, Status.RUNNING, STARTED)

    async def finished(
        self, job_id: str, outcome: Outcome, *, at: datetime, attempt: int | None = None, reason: str = ""
    ) -> bool:
        """End a job; returns whether it ends, or had ended, with this outcome, so that this can be told (again).

        The end of an attempt that was followed by another changes nothing.
        """
        now = await self._database.pool.fetchval(self._of(ATTEMPT), job_id)
        if now is not None and attempt is not None and attempt < now:
            log.warning("end of an earlier attempt", table=self._table, job=job_id, attempt=attempt, now=now)
            return False
        await self._move(job_id, outcome.status, FINISHED, outcome, at, reason, attempt)
        return bool(await self._database.pool.fetchval(self._of(OUTCOME), job_id) == outcome)

    async def _move(self, job_id: str, then: Status, statement: str, *values: Any) -> None:
        """Run the statement if the job may pass to the status; else log both."""

        async def work(db: asyncpg.Connection) -> None:
            found = await db.fetchval(self._of(LOCK), job_id)
            if found is None:
                log.warning("no such job", table=self._table, job=job_id, then=then)
                return
            now = Status(found)
            if may_follow(now, then):
                await db.execute(self._of(statement), job_id, then, *values)
                log.info("job moved", table=self._table, job=job_id, now=now, then=then)
            elif now != then:
                log.warning("job not moved", table=self._table, job=job_id, now=now, then=then)

        await self._database.transact(work)

    def _of(self, statement: str) -> str:
        return statement.replace("{table}", self._table)


FINAL_LIST = ", ".join(f"'{status}'" for status in sorted(FINAL))

LOCK = "SELECT status FROM {table} WHERE id = $1 FOR UPDATE"

ATTEMPT = "SELECT attempt FROM {table} WHERE id = $1"

OUTCOME = "SELECT outcome FROM {table} WHERE id = $1"

DISPATCHED = """
    UPDATE {table} SET dispatched_at = $2, updated_at = now() WHERE id = $1 AND dispatched_at IS NULL
"""

STARTED_AT = """
    UPDATE {table} SET started_at = $2 WHERE id = $1 AND (started_at IS NULL OR started_at > $2)
"""

HEARTBEAT = (
    """
    UPDATE {table} SET
        heartbeat_at = CASE WHEN heartbeat_at IS NULL OR heartbeat_at < $3 THEN $3 ELSE heartbeat_at END,
        attempt = CASE WHEN attempt < $2 THEN $2 ELSE attempt END
    WHERE id = $1 AND status NOT IN (FINAL)
"""
).replace("FINAL", FINAL_LIST)

STARTED = """
    UPDATE {table} SET status = $2, updated_at = now() WHERE id = $1
"""

FINISHED = """
    UPDATE {table} SET
        status = $2, outcome = $3, finished_at = $4, reason = $5, attempt = COALESCE($6, attempt), updated_at = now()
    WHERE id = $1
"""
