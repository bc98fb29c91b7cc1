"""The `pipelines` and `builds` tables. Nobody else writes them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import structlog
from estafette_common.bus.messages.events import GitPushed
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import FINAL, Outcome, Status, may_follow

from manifest_planner.planning import BuildRow

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBuild:
    """A build before it has a number."""

    id: str
    push: GitPushed
    branch: str
    version: Callable[[int], str]
    """The version that a number gives."""
    labels: dict[str, str]
    manifest: str
    rejected: str = ""
    """Why it ends before it begins; empty when it does not."""


class Builds:
    """Stores builds, and moves them forward."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: NewBuild) -> BuildRow:
        """Store a build under the next number of its pipeline, and return it.

        Adding the same id again returns what was stored first: no number is taken twice or left out.
        """
        repository = new.push.repository
        key = (repository.source, repository.owner, repository.name)

        async def work(db: asyncpg.Connection) -> BuildRow:
            await db.execute(LOCK_PIPELINE, *key)
            row = await db.fetchrow(SELECT, new.id)
            if row is None:
                counter = await db.fetchval(NEXT_COUNTER, *key, new.id)
                row = await db.fetchrow(INSERT, *_values(new, counter))
            return _row(row)

        return await self._database.transact(work)

    async def get(self, build_id: str) -> BuildRow | None:
        """Return a build, or nothing when there is none of this id."""
        row = await self._database.pool.fetchrow(SELECT, build_id)
        return _row(row) if row is not None else None

    async def dispatched(self, build_id: str, at: datetime) -> None:
        """Note that a runtime took the build."""
        await self._database.pool.execute(DISPATCHED, build_id, at)

    async def heartbeat(self, build_id: str, *, attempt: int, at: datetime) -> None:
        """Note a sign of life of an attempt. It may be the first one to be heard of."""
        await self._database.pool.execute(HEARTBEAT, build_id, attempt, at)

    async def started(self, build_id: str, *, attempt: int, at: datetime) -> None:
        """Note that an attempt began: pending becomes running."""
        await self._database.pool.execute(HEARTBEAT, build_id, attempt, at)
        await self._database.pool.execute(STARTED_AT, build_id, at)
        await self._move(build_id, Status.RUNNING, STARTED)

    async def finished(
        self, build_id: str, outcome: Outcome, *, at: datetime, attempt: int | None = None, reason: str = ""
    ) -> BuildRow | None:
        """End a build; returns it when it ends, or had ended, with this outcome, so that this can be told (again).

        The end of an attempt that was followed by another changes nothing.
        """
        before = await self.get(build_id)
        if before is not None and attempt is not None and attempt < before.attempt:
            log.warning("end of an earlier attempt", build=build_id, attempt=attempt, now=before.attempt)
            return None
        await self._move(build_id, outcome.status, FINISHED, outcome, at, reason, attempt)
        row = await self.get(build_id)
        return row if row is not None and row.outcome == outcome else None

    async def _move(self, build_id: str, then: Status, statement: str, *values: Any) -> None:
        """Run the statement if the build may pass to the status; else log both."""

        async def work(db: asyncpg.Connection) -> None:
            found = await db.fetchval(LOCK_BUILD, build_id)
            if found is None:
                log.warning("no such build", build=build_id, then=then)
                return
            now = Status(found)
            if may_follow(now, then):
                await db.execute(statement, build_id, then, *values)
                log.info("build moved", build=build_id, now=now, then=then)
            elif now != then:
                log.warning("build not moved", build=build_id, now=now, then=then)

        await self._database.transact(work)


def _row(row: Any) -> BuildRow:
    return BuildRow(**row)


def _values(new: NewBuild, counter: int) -> list[Any]:
    push, repository = new.push, new.push.repository
    event = {"event": "push", "repository": repository.pipeline, "branch": new.branch}
    return [
        new.id,
        repository.source,
        repository.owner,
        repository.name,
        new.branch,
        push.revision,
        counter,
        new.version(counter),
        Status.FAILED if new.rejected else Status.PENDING,
        Outcome.REJECTED if new.rejected else None,
        new.rejected,
        [{"key": key, "value": value} for key, value in new.labels.items()],
        new.manifest,
        [commit.model_dump() for commit in push.commits],
        [{"fired": True, "git": event}],
        push.installation,
    ]


FINAL_LIST = ", ".join(f"'{status}'" for status in sorted(FINAL))

COLUMNS = """
    id, source, owner, name, branch, revision, counter, version, status, installation, manifest, outcome, reason,
    attempt, dispatched_at IS NOT NULL AS dispatched
"""

LOCK_PIPELINE = """
    INSERT INTO pipelines AS p (source, owner, name) VALUES ($1, $2, $3)
    ON CONFLICT (source, owner, name) DO UPDATE SET last_counter = p.last_counter
"""

SELECT = f"SELECT {COLUMNS} FROM builds WHERE id = $1"  # noqa: S608  constants

NEXT_COUNTER = """
    UPDATE pipelines SET last_counter = last_counter + 1, last_build_id = $4
    WHERE source = $1 AND owner = $2 AND name = $3
    RETURNING last_counter
"""

INSERT = f"""
    INSERT INTO builds (
        id, source, owner, name, branch, revision, counter, version, status, outcome, reason, labels, manifest, commits,
        trigger_events, installation, finished_at
    ) VALUES (
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, CASE WHEN $9 = 'failed' THEN now() END
    )
    RETURNING {COLUMNS}
"""  # noqa: S608  constants

LOCK_BUILD = "SELECT status FROM builds WHERE id = $1 FOR UPDATE"

DISPATCHED = """
    UPDATE builds SET dispatched_at = $2, updated_at = now() WHERE id = $1 AND dispatched_at IS NULL
"""

STARTED_AT = """
    UPDATE builds SET started_at = $2 WHERE id = $1 AND (started_at IS NULL OR started_at > $2)
"""

HEARTBEAT = f"""
    UPDATE builds SET
        heartbeat_at = CASE WHEN heartbeat_at IS NULL OR heartbeat_at < $3 THEN $3 ELSE heartbeat_at END,
        attempt = CASE WHEN attempt < $2 THEN $2 ELSE attempt END
    WHERE id = $1 AND status NOT IN ({FINAL_LIST})
"""  # noqa: S608  constants

STARTED = """
    UPDATE builds SET status = $2, updated_at = now() WHERE id = $1
"""

FINISHED = """
    UPDATE builds SET
        status = $2, outcome = $3, finished_at = $4, reason = $5, attempt = COALESCE($6, attempt), updated_at = now()
    WHERE id = $1
"""
