"""The `decisions` table: why there is a build or none. Nobody else writes it."""

from estafette_common.bus.messages.events import DecisionMade
from estafette_common.bus.messages.message import Cause
from estafette_common.database.pool import Database
from estafette_common.jobs.plan import Repository


class Decisions:
    """Keeps decisions, one for each cause and purpose."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, decision: DecisionMade, cause: Cause, *, purpose: str = "decision") -> None:
        """Store what was decided about a cause; the first decision for a purpose stays."""
        repository = decision.repository
        await self._database.pool.execute(
            INSERT,
            cause.derive(purpose),
            cause.id,
            decision.subject_kind,
            decision.decision,
            decision.reason,
            repository.source,
            repository.owner,
            repository.name,
            decision.ref,
            decision.revision,
            decision.job_kind,
            decision.job_id,
        )

    async def made(self, cause: Cause) -> bool:
        """Return whether a cause was decided on before."""
        return bool(await self._database.pool.fetchval(MADE, cause.derive("decision")))

    async def without_job(self, cause: Cause, *, purpose: str = "decision") -> DecisionMade | None:
        """Return what was decided about a cause for a purpose where that led to no job; else nothing.

        It holds however late the cause comes again, and whatever is different by then.
        """
        row = await self._database.pool.fetchrow(WITHOUT_JOB, cause.derive(purpose))
        if row is None:
            return None
        place = Repository(source=row["source"], owner=row["owner"], name=row["name"])
        told = {name: row[name] for name in ("cause_id", "subject_kind", "decision", "reason", "ref", "revision")}
        return DecisionMade(repository=place, **told)


MADE = "SELECT true FROM decisions WHERE id = $1"

WITHOUT_JOB = """
    SELECT cause_id, subject_kind, decision, reason, source, owner, name, ref, revision
    FROM decisions WHERE id = $1 AND job_id IS NULL
"""

INSERT = """
    INSERT INTO decisions (
        id, cause_id, subject_kind, decision, reason, source, owner, name, ref, revision, job_kind, job_id
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (id) DO NOTHING
"""
