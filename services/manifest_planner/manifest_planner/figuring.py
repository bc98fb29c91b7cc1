"""Keeps the figures of each pipeline up to date: they are worked out anew from its builds and releases each time.

That makes it harmless to hear of an event again, or of several in another order.
"""

from datetime import datetime
from typing import Any

import asyncpg
from estafette_common.bus.messages.events import PipelineChanged, PipelineEvent, ReleaseChanged
from estafette_common.bus.messages.message import Cause
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Status
from estafette_common.jobs.plan import Repository

from manifest_planner import figures
from manifest_planner.figures import Run, Seen


class Figures:
    """Stores what is typical of pipelines, and who works on them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def on_build(self, changed: PipelineChanged, cause: Cause) -> None:
        """Work out who committed when a build is created, and how long builds take when one succeeded."""
        if changed.event is PipelineEvent.STARTED:
            await self.committers(changed.repository, now=cause.time)
        elif changed.status is Status.SUCCEEDED:
            await self.medians(changed.repository)

    async def on_release(self, changed: ReleaseChanged, cause: Cause) -> None:
        """Work out who released when a release is created."""
        if changed.event is PipelineEvent.STARTED:
            await self.releasers(changed.repository, now=cause.time)

    async def committers(self, repository: Repository, *, now: datetime) -> None:
        """Store who committed."""
        key, since = _key(repository), now - figures.RECENT

        async def work(db: asyncpg.Connection) -> None:
            await db.execute(LOCK, *key)
            rows = await db.fetch(COMMITS, *key, since, figures.BUILDS)
            seen = figures.committers((row["inserted_at"], row["commits"]) for row in rows)
            await db.execute(SET_COMMITTERS, *key, _documents(seen))

        await self._database.transact(work)

    async def releasers(self, repository: Repository, *, now: datetime) -> None:
        """Store who released."""
        key, since = _key(repository), now - figures.RECENT

        async def work(db: asyncpg.Connection) -> None:
            await db.execute(LOCK, *key)
            seen = figures.last_seen(Seen(**row) for row in await db.fetch(RELEASERS, *key, since))
            await db.execute(SET_RELEASERS, *key, _documents(seen))

        await self._database.transact(work)

    async def medians(self, repository: Repository) -> None:
        """Store how long builds wait and run."""
        key = _key(repository)

        async def work(db: asyncpg.Connection) -> None:
            await db.execute(LOCK, *key)
            runs = [Run(**row) for row in await db.fetch(RUNS, *key, figures.BUILDS)]
            await db.execute(SET_MEDIANS, *key, *figures.medians(runs))

        await self._database.transact(work)


def _key(repository: Repository) -> tuple[str, str, str]:
    return repository.source, repository.owner, repository.name


def _documents(seen: list[Seen]) -> list[dict[str, Any]]:
    return [{"email": each.email, "at": each.at.isoformat()} for each in seen]


OF_PIPELINE = "source = $1 AND owner = $2 AND name = $3"

LOCK = f"SELECT true FROM pipelines WHERE {OF_PIPELINE} FOR UPDATE"  # noqa: S608  constants

COMMITS = f"""
    SELECT inserted_at, commits FROM builds WHERE {OF_PIPELINE} AND inserted_at > $4
    ORDER BY inserted_at DESC, id DESC LIMIT $5
"""  # noqa: S608  constants

RELEASERS = f"""
    SELECT trigger_events->0->'manual'->>'userID' AS email, max(inserted_at) AS at FROM releases
    WHERE {OF_PIPELINE} AND inserted_at > $4 AND trigger_events->0->'manual'->>'userID' <> ''
    GROUP BY trigger_events->0->'manual'->>'userID'
"""  # noqa: S608  constants

RUNS = f"""
    SELECT inserted_at, started_at, finished_at FROM builds
    WHERE {OF_PIPELINE} AND status = 'succeeded' AND started_at IS NOT NULL AND finished_at IS NOT NULL
    ORDER BY inserted_at DESC, id DESC LIMIT $4
"""  # noqa: S608  constants

SET_COMMITTERS = f"UPDATE pipelines SET recent_committers = $4 WHERE {OF_PIPELINE}"  # noqa: S608  constants

SET_RELEASERS = f"UPDATE pipelines SET recent_releasers = $4 WHERE {OF_PIPELINE}"  # noqa: S608  constants

SET_MEDIANS = f"""
    UPDATE pipelines SET median_pending = $4, median_duration = $5 WHERE {OF_PIPELINE}
"""  # noqa: S608  constants
