"""The `builds` table, read only."""

from typing import Any

from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Status

from hanging_job_cleaner.reconciling import BuildState


class Builds:
    """Reads builds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def active_or_among(self, build_ids: list[str]) -> list[BuildState]:
        """Return all builds that did not end, and those of the given ids."""
        return [_state(row) for row in await self._database.pool.fetch(SELECT, build_ids)]


def _state(row: Any) -> BuildState:
    return BuildState(**{**row, "status": Status(row["status"])})


SELECT = """
    SELECT id, status, inserted_at, admitted_at, dispatched_at, started_at, heartbeat_at, canceling_at, finished_at,
        status = 'pending' AND concurrency_group <> '' AND admitted_at IS NULL AS waiting
    FROM builds
    WHERE status IN ('pending', 'running', 'canceling') OR id = ANY($1)
"""
