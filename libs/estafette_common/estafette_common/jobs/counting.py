"""How many jobs there are in which state, and what pending ones wait for. Read only, over the tables of jobs."""

from dataclasses import dataclass

from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind

TABLES = {Kind.BUILD: "builds", Kind.RELEASE: "releases", Kind.BOT: "bots"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """Jobs of a kind that have not ended."""

    kind: str
    status: str
    reason: str
    """What pending ones wait for: `others` of their group, `dispatch`, or to `start`. Empty for the rest."""
    count: int
    age: float
    """Seconds since the oldest was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Jobs of a kind, made within a day, that ended."""

    kind: str
    outcome: str
    count: int


async def unfinished(database: Database) -> list[Unfinished]:
    """Return what has not ended. Raises what asyncpg does while the database is away."""
    return [Unfinished(**row) for row in await database.pool.fetch(UNFINISHED)]


async def ended(database: Database) -> list[Ended]:
    """Return what was made within a day and ended. Raises as `unfinished`."""
    return [Ended(**row) for row in await database.pool.fetch(ENDED)]


UNFINISHED = " UNION ALL ".join(
    f"""
    SELECT '{kind}' AS kind, status, reason, count(*) AS count,
        extract(epoch FROM now() - min(inserted_at))::FLOAT8 AS age
    FROM (
        SELECT status, inserted_at, CASE
            WHEN status <> 'pending' THEN ''
            WHEN waits_for <> '' THEN 'others'
            WHEN dispatched_at IS NULL THEN 'dispatch'
            ELSE 'start'
        END AS reason
        FROM {table} WHERE status IN ('pending', 'running', 'canceling')
    ) AS {table}_by_reason
    GROUP BY status, reason
    """  # noqa: S608  constants
    for kind, table in TABLES.items()
)

ENDED = " UNION ALL ".join(
    f"""
    SELECT '{kind}' AS kind, COALESCE(outcome, status) AS outcome, count(*) AS count FROM {table}
    WHERE status IN ('succeeded', 'failed', 'canceled') AND inserted_at > now() - INTERVAL '1 day'
    GROUP BY COALESCE(outcome, status)
    """  # noqa: S608  constants
    for kind, table in TABLES.items()
)
