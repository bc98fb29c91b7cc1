"""The life of jobs in the tables of manifest-planner: forward only, and the same for builds, releases and bots."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg
import structlog
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import FINAL, Outcome, Status, end_of, may_follow
from estafette_common.jobs.plan import Repository
from estafette_common.jobs.usage import Usage

log = structlog.get_logger()

Table = Literal["builds", "releases", "bots"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Where a job stands."""

    status: Status
    outcome: Outcome | None
    reason: str
    waiting: bool
    """Whether it was never requested, for others come first."""
    was_canceling: bool
    """Whether it was to end after it may have been requested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a job is about; a text is empty where its table has none of it."""

    repository: Repository
    branch: str
    revision: str
    version: str


class Step:
    """A passage to another status: the statement that takes it, and the values of that."""

    def __init__(self, then: Status, statement: str, *values: Any) -> None:
        self.then = then
        self.statement = statement
        self.values = values


class Lives:
    """Moves the jobs of one table forward."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    async def dispatched(self, job_id: str, at: datetime, *, runtime: str) -> None:
        """Note that a runtime took the job."""
        await self._database.pool.execute(self._of(DISPATCHED), job_id, at, runtime)

    async def requested(self, job_id: str) -> None:
        """Note that the job was requested."""
        await self._database.pool.execute(self._of(REQUESTED), job_id)

    async def group(self, job_id: str) -> str:
        """Return the group of a job, whose other jobs it may keep waiting; empty where it is in none."""
        return await self._database.pool.fetchval(self._of(GROUP), job_id) or ""

    async def heartbeat(self, job_id: str, *, attempt: int, at: datetime) -> None:
        """Note a sign of life of an attempt. It may be the first one to be heard of."""
        await self._database.pool.execute(self._of(HEARTBEAT), job_id, attempt, at)

    async def started(self, job_id: str, *, attempt: int, at: datetime) -> Life | None:
        """Note that an attempt began: pending becomes running. Returns the job as it is then."""
        await self._database.pool.execute(self._of(HEARTBEAT), job_id, attempt, at)
        await self._database.pool.execute(self._of(STARTED_AT), job_id, at)
        await self._database.pool.execute(self._of(WAITS_NO_MORE), job_id, attempt)
        return await self._move(job_id, lambda _: Step(Status.RUNNING, STARTED))

    async def waiting(self, job_id: str, *, attempt: int, reason: str) -> None:
        """Note why an attempt that a runtime has does not run yet; nothing changes once it began."""
        await self._database.pool.execute(self._of(WAITING), job_id, attempt, reason)

    async def lost_attempt(self, job_id: str, *, attempt: int, reason: str) -> None:
        """Note that an attempt is lost and the next one was begun: what it tells yet counts no more."""
        await self._database.pool.execute(self._of(LOST_ATTEMPT), job_id, attempt, reason)

    async def cancel(self, job_id: str, *, at: datetime, reason: str) -> Life | None:
        """Let a job end: at once where it was never requested, else it is canceling. Returns it as it is then.

        One that ended, or shall end already, stays as it is.
        """

        def step(now: Life) -> Step:
            if now.waiting:
                return Step(Status.CANCELED, FINISHED, Outcome.CANCELED, at, reason, None)
            return Step(Status.CANCELING, CANCELING, at, reason)

        return await self._move(job_id, step)

    async def finished(
        self, job_id: str, outcome: Outcome, *, at: datetime, attempt: int | None = None, reason: str = ""
    ) -> bool:
        """End a job; returns whether it ends, or had ended, by this outcome, so that this can be told (again).

        One that is canceling ends canceled, whatever the outcome. The end of an attempt that was followed by another
        changes nothing.
        """
        now = await self._database.pool.fetchval(self._of(ATTEMPT), job_id)
        if now is not None and attempt is not None and attempt < now:
            log.warning("end of an earlier attempt", table=self._table, job=job_id, attempt=attempt, now=now)
            return False

        def step(now: Life) -> Step:
            end = end_of(now.status, outcome)
            return Step(end.status, FINISHED, end, at, reason, attempt)

        life = await self._move(job_id, step)
        if life is None:
            return False
        return life.outcome == outcome or (life.was_canceling and life.outcome is Outcome.CANCELED)

    async def took(self, job_id: str, usage: Usage) -> None:
        """Note the most that a job took."""
        await self._database.pool.execute(self._of(TOOK), job_id, usage.memory, usage.cpu, usage.out_of_memory)

    async def ran_out_of_memory(self, job_id: str) -> None:
        """Note that an attempt of a job ended for want of memory."""
        await self._database.pool.execute(self._of(OUT_OF_MEMORY), job_id)

    async def ends_with_its_runtime(self, job_id: str) -> bool:
        """Return whether a job that shall end has a pod, which goes after its builder told its end."""
        return bool(await self._database.pool.fetchval(self._of(ENDS_WITH_ITS_RUNTIME), job_id))

    async def about(self, job_id: str) -> About | None:
        """Return what a job is about, or nothing where there is none."""
        row = await self._database.pool.fetchrow(self._of(ABOUT), job_id)
        if row is None:
            return None
        texts = {name: row.get(name, "") for name in ("branch", "revision", "version")}
        return About(repository=Repository(source=row["source"], owner=row["owner"], name=row["name"]), **texts)

    async def _move(self, job_id: str, step: Callable[[Life], Step]) -> Life | None:
        """Take the step if the job may; else log both statuses. Returns the job as it is then."""

        async def work(db: asyncpg.Connection) -> Life | None:
            found = await db.fetchrow(self._of(LOCK), job_id)
            if found is None:
                log.warning("no such job", table=self._table, job=job_id)
                return None
            life = _life(found)
            wanted = step(life)
            if may_follow(life.status, wanted.then):
                await db.execute(self._of(wanted.statement), job_id, wanted.then, *wanted.values)
                log.info("job moved", table=self._table, job=job_id, now=life.status, then=wanted.then)
                return _life(await db.fetchrow(self._of(LOCK), job_id))
            if life.status != wanted.then:
                log.warning("job not moved", table=self._table, job=job_id, now=life.status, then=wanted.then)
            return life

        return await self._database.transact(work)

    def _of(self, statement: str) -> str:
        return statement.replace("{table}", self._table)


def _life(row: Any) -> Life:
    outcome = row["outcome"]
    return Life(**{**row, "status": Status(row["status"]), "outcome": Outcome(outcome) if outcome else None})


FINAL_LIST = ", ".join(f"'{status}'" for status in sorted(FINAL))

LOCK = """
    SELECT status, outcome, reason, canceling_at IS NOT NULL AS was_canceling,
        status = 'pending' AND concurrency_group <> '' AND admitted_at IS NULL AS waiting
    FROM {table} WHERE id = $1 FOR UPDATE
"""

ABOUT = "SELECT * FROM {table} WHERE id = $1"

GROUP = "SELECT concurrency_group FROM {table} WHERE id = $1"

REQUESTED = "UPDATE {table} SET requested_at = now() WHERE id = $1 AND requested_at IS NULL"

ATTEMPT = "SELECT attempt FROM {table} WHERE id = $1"

CANCELING = """
    UPDATE {table} SET status = $2, canceling_at = $3, reason = $4, updated_at = now() WHERE id = $1
"""

DISPATCHED = """
    UPDATE {table} SET dispatched_at = $2, runtime = $3, updated_at = now() WHERE id = $1 AND dispatched_at IS NULL
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

TOOK = """
    UPDATE {table} SET most_memory = $2, most_cpu = $3, out_of_memory = out_of_memory OR $4 WHERE id = $1
"""

OUT_OF_MEMORY = "UPDATE {table} SET out_of_memory = TRUE WHERE id = $1"

ENDS_WITH_ITS_RUNTIME = "SELECT status = 'canceling' AND runtime = 'kubernetes' FROM {table} WHERE id = $1"

WAITS_NO_MORE = """
    UPDATE {table} SET reason = '' WHERE id = $1 AND attempt <= $2 AND reason <> '' AND status IN ('pending', 'running')
"""

WAITING = """
    UPDATE {table} SET reason = $3
    WHERE id = $1 AND attempt <= $2 AND (status = 'pending' OR (status = 'running' AND reason <> ''))
"""

LOST_ATTEMPT = """
    UPDATE {table} SET attempt = $2 + 1, reason = $3, updated_at = now()
    WHERE id = $1 AND attempt <= $2 AND status IN ('pending', 'running')
"""

STARTED = """
    UPDATE {table} SET status = $2, updated_at = now() WHERE id = $1
"""

FINISHED = """
    UPDATE {table} SET
        status = $2, outcome = $3, finished_at = $4, reason = CASE WHEN status = 'canceling' THEN reason ELSE $5 END,
        attempt = COALESCE($6, attempt), updated_at = now()
    WHERE id = $1
"""
