"""The tables of builds, releases and bots, and of what forges were told, read only."""

from datetime import datetime
from typing import Any

from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind, Status

from hanging_job_cleaner.reconciling import BuildState

TABLES = {Kind.BUILD: "builds", Kind.RELEASE: "releases", Kind.BOT: "bots"}


class Builds:
    """Reads builds, releases and runs of bots; all of them are jobs, and only builds are common enough to name them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def active_or_among(self, job_ids: list[str]) -> list[BuildState]:
        """Return all that did not end, and those of the given ids."""
        return [
            _state(kind, row)
            for kind, table in TABLES.items()
            for row in await self._database.pool.fetch(SELECT.replace("{table}", table), job_ids)
        ]

    async def reported(self, job_ids: list[str]) -> dict[str, datetime]:
        """Return when the end of some of these was told to a forge, by their ids."""
        return {row["job_id"]: row["at"] for row in await self._database.pool.fetch(REPORTED, job_ids)}


def _state(kind: Kind, row: Any) -> BuildState:
    return BuildState(**{**row, "kind": kind, "status": Status(row["status"])})


SELECT = """
    SELECT id, status, inserted_at, admitted_at, dispatched_at, started_at, heartbeat_at, canceling_at, finished_at,
        status = 'pending' AND concurrency_group <> '' AND admitted_at IS NULL AS waiting
    FROM {table}
    WHERE status IN ('pending', 'running', 'canceling') OR id = ANY($1)
"""

REPORTED = """
    SELECT job_id, min(delivered_at) AS at FROM commit_statuses
    WHERE job_id = ANY($1) AND state <> 'pending' AND delivered_at IS NOT NULL
    GROUP BY job_id
"""
