"""The tables of builds, releases and bots, read only."""

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


def _state(kind: Kind, row: Any) -> BuildState:
    return BuildState(**{**row, "kind": kind, "status": Status(row["status"])})


SELECT = """
    SELECT id, status, inserted_at, admitted_at, dispatched_at, started_at, heartbeat_at, canceling_at, finished_at,
        status = 'pending' AND concurrency_group <> '' AND admitted_at IS NULL AS waiting
    FROM {table}
    WHERE status IN ('pending', 'running', 'canceling') OR id = ANY($1)
"""
