"""Decisions of manifest-planner, read only: why there is a job or none."""

from collections.abc import Sequence
from typing import Any

from estafette_common.database.pool import Database

MOST = 500
"""Decisions in one answer; the oldest of them."""


class Decisions:
    """Reads decisions, each with the job that it is about."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_revision(self, source: str, owner: str, name: str, revision: str) -> list[Any]:
        """Return what was decided about a revision of a pipeline, which may be shortened; oldest first."""
        return await self._database.pool.fetch(OF_REVISION, source, owner, name, f"{revision}%", MOST)

    async def of_causes(self, causes: Sequence[str]) -> list[Any]:
        """Return what was decided because of these events; oldest first."""
        return await self._database.pool.fetch(OF_CAUSES, list(causes), MOST)

    async def of_jobs(self, jobs: Sequence[str]) -> list[Any]:
        """Return what was decided about these jobs; oldest first."""
        return await self._database.pool.fetch(OF_JOBS, list(jobs), MOST)


SELECT = """
    SELECT d.*, COALESCE(b.version, r.version, bb.version) AS version, COALESCE(b.status, r.status, t.status) AS status,
        COALESCE(b.outcome, r.outcome, t.outcome) AS outcome,
        COALESCE(b.reason, r.reason, t.reason, '') AS job_reason,
        COALESCE(b.waits_for, r.waits_for, t.waits_for, '') AS waits_for,
        COALESCE(r.target, t.bot, '') AS runs, COALESCE(r.action, '') AS action
    FROM decisions d
    LEFT JOIN builds b ON b.id = d.job_id AND d.job_kind = 'build'
    LEFT JOIN releases r ON r.id = d.job_id AND d.job_kind = 'release'
    LEFT JOIN bots t ON t.id = d.job_id AND d.job_kind = 'bot'
    LEFT JOIN builds bb ON bb.id = t.build_id
"""

OF_REVISION = f"""
    {SELECT} WHERE d.source = $1 AND d.owner = $2 AND d.name = $3 AND d.revision LIKE $4
    ORDER BY d.decided_at, d.id LIMIT $5
"""

OF_CAUSES = f"{SELECT} WHERE d.cause_id = ANY($1) ORDER BY d.decided_at, d.id LIMIT $2"

OF_JOBS = f"{SELECT} WHERE d.job_id = ANY($1) ORDER BY d.decided_at, d.id LIMIT $2"
