"""Which builds of the `builds` table may begin. One transaction decides at a time, for a group or for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Status
from estafette_common.manifest.concurrency import Policy

from manifest_planner.concurrency import Admit, Build, Decision, Limits, Supersede, Wait, settle


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is to be done after a decision; doing it again is harmless."""

    request: tuple[str, ...]
    """Ids of builds that may begin and may not have been requested yet."""
    supersede: tuple[Supersede, ...]
    waiting: dict[str, str]
    """What each build that cannot begin waits for, by its id."""


class Admissions:
    """Admits builds."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    async def settle(self, group: str) -> Settled:
        """Decide on the builds of a group, and on all others where there is a limit for all."""
        scope = "" if self._limits.in_all else group

        async def work(db: asyncpg.Connection) -> Settled:
            await db.execute(LOCK, scope.partition(" ")[0])
            rows = await db.fetch(UNFINISHED, scope)
            elsewhere = await db.fetchval(UNGROUPED) if self._limits.in_all else 0
            decisions = settle([_build(row) for row in rows], self._limits, running_elsewhere=elsewhere)
            await _record(db, decisions)
            return _settled(rows, decisions)

        return await self._database.transact(work)

    async def waiting_groups(self) -> list[str]:
        """Return the groups in which a build waits, or was admitted and not requested."""
        return [row["concurrency_group"] for row in await self._database.pool.fetch(WAITING_GROUPS)]


def _build(row: Any) -> Build:
    return Build(
        id=row["id"],
        name=row["version"],
        group=row["concurrency_group"],
        policy=Policy(row["concurrency_policy"]),
        admitted=row["admitted"],
        canceling=row["status"] == Status.CANCELING,
    )


async def _record(db: asyncpg.Connection, decisions: Sequence[Decision]) -> None:
    for decision in decisions:
        match decision:
            case Admit(build_id):
                await db.execute(ADMIT, build_id)
            case Wait(build_id, reason):
                await db.execute(WAIT, build_id, reason)
            case Supersede():  # its own life decides whether it ends at once
                pass


def _settled(rows: Sequence[Any], decisions: Sequence[Decision]) -> Settled:
    supersede = tuple(each for each in decisions if isinstance(each, Supersede))
    left = [row["id"] for row in rows if row["admitted"] and not row["requested"] and row["status"] == Status.PENDING]
    admitted = [each.id for each in decisions if isinstance(each, Admit)]
    ending = {each.id for each in supersede}
    return Settled(
        request=tuple(each for each in (*left, *admitted) if each not in ending),
        supersede=supersede,
        waiting={each.id: each.reason for each in decisions if isinstance(each, Wait)},
    )


LOCK = """
    INSERT INTO concurrency_locks AS l (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = l.name
"""

UNFINISHED = """
    SELECT id, version, concurrency_group, concurrency_policy, status, admitted_at IS NOT NULL AS admitted,
        requested_at IS NOT NULL AS requested
    FROM builds
    WHERE status IN ('pending', 'running', 'canceling') AND concurrency_group <> ''
        AND (concurrency_group = $1 OR $1 = '')
    ORDER BY inserted_at, id
"""

UNGROUPED = """
    SELECT count(*) FROM builds WHERE status IN ('pending', 'running', 'canceling') AND concurrency_group = ''
"""

ADMIT = """
    UPDATE builds SET admitted_at = now(), waits_for = '', updated_at = now()
    WHERE id = $1 AND status = 'pending' AND admitted_at IS NULL
"""

WAIT = """
    UPDATE builds SET waits_for = $2, updated_at = now()
    WHERE id = $1 AND status = 'pending' AND waits_for <> $2
"""

WAITING_GROUPS = """
    SELECT DISTINCT concurrency_group FROM builds
    WHERE status = 'pending' AND concurrency_group <> '' AND (admitted_at IS NULL OR requested_at IS NULL)
"""
