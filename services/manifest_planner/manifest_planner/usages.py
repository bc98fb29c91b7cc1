"""What jobs took, for those that are like them. Reads the tables of `lives.py`, which writes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Plan
from estafette_common.jobs.usage import Usage

LAST = 25
"""Of the jobs that ended, how many are looked at."""

ENOUGH = 5
"""Of these have to be measured; both numbers are those of the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A job that ended, and the most that it took."""

    outcome: str | None
    memory: int | None
    cpu: float | None
    out_of_memory: bool
    """Whether something of it was ended for want of memory, in any attempt."""


def measured(jobs: Sequence[Past]) -> Usage | None:
    """Return the most that the last jobs took, or nothing where too few of them were measured.

    Only those that succeeded are enough to go by: one that failed early says little of what the whole takes. What such
    a one takes is known, also if it first had too little memory.
    """
    known = [(each, each.memory, each.cpu) for each in jobs if each.memory is not None and each.cpu is not None]
    if sum(each.outcome == Outcome.SUCCEEDED for each, _, _ in known) < ENOUGH:
        return None
    return Usage(
        memory=max(memory for _, memory, _ in known),
        cpu=max(cpu for _, _, cpu in known),
        out_of_memory=any(each.out_of_memory and each.outcome != Outcome.SUCCEEDED for each in jobs),
    )


class Usages:
    """Looks up what jobs took."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def measured(self, plan: Plan) -> Usage | None:
        """Return what the last builds of a pipeline took, or releases to the target of a plan, or runs of its bot."""
        place = plan.repository
        narrower = () if plan.kind is Kind.BUILD else (plan.target,)
        rows = await self._database.pool.fetch(
            LATEST[plan.kind], place.source, place.owner, place.name, LAST, *narrower
        )
        return measured([Past(**row) for row in rows])


_LATEST = """
    SELECT outcome, most_memory AS memory, most_cpu AS cpu, out_of_memory FROM {table}
    WHERE source = $1 AND owner = $2 AND name = $3{narrower} AND dispatched_at IS NOT NULL AND finished_at IS NOT NULL
    ORDER BY inserted_at DESC LIMIT $4
"""

LATEST = {
    Kind.BUILD: _LATEST.format(table="builds", narrower=""),
    Kind.RELEASE: _LATEST.format(table="releases", narrower=" AND target = $5"),
    Kind.BOT: _LATEST.format(table="bots", narrower=" AND bot = $5"),
}
