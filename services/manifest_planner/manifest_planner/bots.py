"""The `bots` table: the runs of bots. Nobody else writes it."""

from dataclasses import dataclass
from typing import Any

from estafette_common.bus.messages.message import Message
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Outcome, Status
from estafette_common.jobs.plan import Repository

from manifest_planner.lives import About, Lives


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBot:
    """A run of a bot before it is stored."""

    id: str
    repository: Repository
    bot: str
    build_id: str
    """Of the build whose manifest and revision it has."""
    events: tuple[dict[str, Any], ...]
    """What started it, as the reference's API has it."""
    hops: int = 0
    """How many triggers fired one after the other until there was this run."""
    rejected: str = ""
    """Why it ends before it begins; empty when it does not."""
    concurrency_group: str = ""
    """Whose jobs it may have to wait for; empty: it waits for none."""
    concurrency_policy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BotRow:
    """A run of a bot as it was stored, with what it has of its build."""

    id: str
    source: str
    owner: str
    name: str
    bot: str
    build_id: str
    branch: str
    revision: str
    version: str
    status: str
    outcome: str | None
    reason: str
    dispatched: bool
    events: tuple[dict[str, Any], ...]
    hops: int
    concurrency_group: str = ""
    """Whose jobs it may have to wait for; empty: it waits for none."""


class Bots(Lives):
    """Stores runs of bots and moves them forward."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "bots")

    async def add(self, new: NewBot) -> BotRow:
        """Store a run and return it. Adding the same id again returns what was stored first."""
        await self._database.pool.execute(INSERT, *_values(new))
        row = await self.get(new.id)
        if row is None:
            raise LookupError(f"run {new.id} of bot {new.bot}: its build {new.build_id} is not there")
        return row

    async def get(self, run_id: str) -> BotRow | None:
        """Return a run, or nothing when there is none of this id."""
        row = await self._database.pool.fetchrow(SELECT, run_id)
        return BotRow(**row) if row is not None else None

    async def about(self, job_id: str) -> About | None:
        """Return what a run is about, or nothing when there is none of this id."""
        row = await self.get(job_id)
        if row is None:
            return None
        repository = Repository(source=row.source, owner=row.owner, name=row.name)
        return About(repository=repository, branch=row.branch, revision=row.revision, version=row.version)

    async def told_at_end(self, run_id: str) -> Message | None:  # noqa: ARG002  as for builds and releases
        """Return nothing: as in the reference, no trigger waits for bots."""
        return None


def _values(new: NewBot) -> list[Any]:
    return [
        new.id,
        new.repository.source,
        new.repository.owner,
        new.repository.name,
        new.bot,
        new.build_id,
        Status.FAILED if new.rejected else Status.PENDING,
        Outcome.REJECTED if new.rejected else None,
        new.rejected,
        list(new.events),
        new.hops,
        new.concurrency_group,
        new.concurrency_policy,
    ]


INSERT = """
    INSERT INTO bots (
        id, source, owner, name, bot, build_id, status, outcome, reason, trigger_events, hops, concurrency_group,
        concurrency_policy, finished_at
    ) VALUES (
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, CASE WHEN $7 = 'failed' THEN now() END
    )
    ON CONFLICT (id) DO NOTHING
"""

SELECT = """
    SELECT r.id, r.source, r.owner, r.name, r.bot, r.build_id, b.branch, b.revision, b.version, r.status, r.outcome,
        r.reason, r.dispatched_at IS NOT NULL AS dispatched, r.trigger_events AS events, r.hops, r.concurrency_group
    FROM bots r JOIN builds b ON b.id = r.build_id WHERE r.id = $1
"""
