"""Which jobs may begin, by the tables of builds, releases and bots.

One transaction decides at a time, for a group or for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind, Status
from estafette_common.manifest.concurrency import Policy

from manifest_planner.concurrency import Admit, Decision, Job, Limits, Supersede, Wait, settle

TABLES = {Kind.BUILD: "builds", Kind.RELEASE: "releases", Kind.BOT: "bots"}


@dataclass(frozen=True, slots=True)
class Key:
    """Names a job."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is to be done after a decision; doing it again is harmless."""

    request: tuple[Key, ...]
    """Jobs that may begin and may not have been requested yet."""
    supersede: tuple[tuple[Key, str], ...]
    """Jobs whose place others take, and why."""
    waiting: dict[str, str]
    """What each job that cannot begin waits for, by its id."""


class Admissions:
    """Admits jobs."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    async def settle(self, group: str) -> Settled:
        """Decide on the jobs of a group, and on all others where there is a limit for all."""

        async def work(db: asyncpg.Connection) -> Settled:
            await db.execute(LOCK, self._scope(group).partition(" ")[0])
            rows, decisions = await self._decide(db, group)
            await _record(db, {row["id"]: row["kind"] for row in rows}, decisions)
            return _settled(rows, decisions)

        return await self._database.transact(work)

    async def foresee(self, group: str) -> Settled:
        """Return what `settle` would decide now, and decide nothing."""
        async with self._database.pool.acquire() as db:
            return _settled(*await self._decide(db, group))

    async def waiting_groups(self) -> list[str]:
        """Return the groups in which a job waits, or was admitted and not requested."""
        return [row["concurrency_group"] for row in await self._database.pool.fetch(WAITING_GROUPS)]

    def _scope(self, group: str) -> str:
        return "" if self._limits.in_all else group

    async def _decide(self, db: Any, group: str) -> tuple[Sequence[Any], list[Decision]]:
        rows = await db.fetch(UNFINISHED, self._scope(group))
        elsewhere = await db.fetchval(UNGROUPED) if self._limits.in_all else 0
        return rows, settle([_job(row) for row in rows], self._limits, running_elsewhere=elsewhere)


def _job(row: Any) -> Job:
    return Job(
        id=row["id"],
        name=row["called"],
        group=row["concurrency_group"],
        policy=Policy(row["concurrency_policy"]),
        replaces=row["replaces"],
        admitted=row["admitted"],
        canceling=row["status"] == Status.CANCELING,
    )


async def _record(db: asyncpg.Connection, kinds: dict[str, str], decisions: Sequence[Decision]) -> None:
    for decision in decisions:
        match decision:
            case Admit(job_id):
                await db.execute(ADMIT.replace("{table}", TABLES[Kind(kinds[job_id])]), job_id)
            case Wait(job_id, reason):
                await db.execute(WAIT.replace("{table}", TABLES[Kind(kinds[job_id])]), job_id, reason)
            case Supersede():  # its own life decides whether it ends at once
                pass


def _settled(rows: Sequence[Any], decisions: Sequence[Decision]) -> Settled:
    keys = {row["id"]: Key(Kind(row["kind"]), row["id"]) for row in rows}
    supersede = {each.id: each.reason for each in decisions if isinstance(each, Supersede)}
    left = [row["id"] for row in rows if row["admitted"] and not row["requested"] and row["status"] == Status.PENDING]
    admitted = [each.id for each in decisions if isinstance(each, Admit)]
    return Settled(
        request=tuple(keys[each] for each in (*left, *admitted) if each not in supersede),
        supersede=tuple((keys[each], reason) for each, reason in supersede.items()),
        waiting={each.id: each.reason for each in decisions if isinstance(each, Wait)},
    )


LOCK = """
    INSERT INTO concurrency_locks AS l (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = l.name
"""

OF_ALL_KINDS = """
    SELECT 'build' AS kind, 'build ' || version AS called, 'build' AS replaces, id, status, inserted_at,
        concurrency_group, concurrency_policy, admitted_at, requested_at
    FROM builds WHERE status IN ('pending', 'running', 'canceling')
    UNION ALL
    SELECT 'release', 'release ' || version || ' to ' || target, 'release ' || target || ' ' || action, id, status,
        inserted_at, concurrency_group, concurrency_policy, admitted_at, requested_at
    FROM releases WHERE status IN ('pending', 'running', 'canceling')
    UNION ALL
    SELECT 'bot', 'the run ' || id || ' of bot ' || bot, 'bot ' || id, id, status, inserted_at,
        concurrency_group, concurrency_policy, admitted_at, requested_at
    FROM bots WHERE status IN ('pending', 'running', 'canceling')
"""

UNFINISHED = f"""
    SELECT kind, called, replaces, id, status, concurrency_group, concurrency_policy,
        admitted_at IS NOT NULL AS admitted, requested_at IS NOT NULL AS requested
    FROM ({OF_ALL_KINDS}) AS jobs
    WHERE concurrency_group <> '' AND (concurrency_group = $1 OR $1 = '')
    ORDER BY inserted_at, id
"""  # noqa: S608  constants

UNGROUPED = f"SELECT count(*) FROM ({OF_ALL_KINDS}) AS jobs WHERE concurrency_group = ''"  # noqa: S608  constants

ADMIT = """
    UPDATE {table} SET admitted_at = now(), waits_for = '', updated_at = now()
    WHERE id = $1 AND status = 'pending' AND admitted_at IS NULL
"""

WAIT = """
    UPDATE {table} SET waits_for = $2, updated_at = now()
    WHERE id = $1 AND status = 'pending' AND waits_for <> $2
"""

WAITING_GROUPS = f"""
    SELECT DISTINCT concurrency_group FROM ({OF_ALL_KINDS}) AS jobs
    WHERE status = 'pending' AND concurrency_group <> '' AND (admitted_at IS NULL OR requested_at IS NULL)
    ORDER BY concurrency_group
"""  # noqa: S608  constants
