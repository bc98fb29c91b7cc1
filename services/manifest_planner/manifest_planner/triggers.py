"""The `triggers`, `schedules` and `watched_tags` tables. Nobody else writes them."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import asyncpg
from estafette_common.database.pool import Database
from estafette_common.jobs.plan import Repository
from estafette_common.triggers import documents
from estafette_common.triggers.docker_policies import ImageTag
from estafette_common.triggers.model import CronTrigger, Trigger, key_of

from manifest_planner.firing import Candidate
from manifest_planner.trigger_keys import Schedule, digest, keys_of


async def replace(db: asyncpg.Connection, key: tuple[str, str, str], triggers: Iterable[Trigger]) -> None:
    """Let a pipeline have these triggers and no others. Its row must be locked, so that the newest build decides."""
    named = {digest(trigger): trigger for trigger in triggers}
    whole = sha256(" ".join(sorted(named)).encode()).hexdigest() if named else ""
    if await db.fetchval(SET_DIGEST, *key, whole) is None:
        return
    await db.execute(DELETE, *key)
    rows: list[tuple[Any, ...]] = [
        (*key, name, key_of(trigger.filter), each, documents.write(trigger))
        for name, trigger in named.items()
        for each in sorted(keys_of(trigger.filter))
    ]
    await db.executemany(INSERT, rows)
    schedules = [each.filter for each in named.values() if isinstance(each.filter, CronTrigger)]
    await db.executemany(
        INSERT_SCHEDULE,
        sorted({(Schedule(each.schedule, each.timezone).key, each.schedule, each.timezone) for each in schedules}),
    )


class Triggers:
    """Finds the triggers that may wait for an event."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def candidates(self, kind: str, keys: Sequence[str]) -> list[Candidate]:
        """Return the triggers of a kind under some keys, in an order that is always the same."""
        if len(keys) == 1:
            rows = await self._database.pool.fetch(SELECT_ONE, kind, keys[0])
        else:
            rows = await self._database.pool.fetch(SELECT, kind, list(keys))
        found = {(row["source"], row["owner"], row["name"], row["digest"]): row["written"] for row in rows}
        return [candidate(*place, written) for place, written in found.items()]

    async def watched(self, candidate: Candidate) -> ImageTag | None:
        """Return the tag that a trigger dealt with last, or nothing when it has seen none."""
        row = await self._database.pool.fetchrow(WATCHED, *_key(candidate))
        return ImageTag(row["tag"], row["image_digest"]) if row is not None else None

    async def watch(self, candidate: Candidate, tag: ImageTag) -> None:
        """Note the tag that a trigger dealt with last."""
        await self._database.pool.execute(WATCH, *_key(candidate), tag.name, tag.digest)


def candidate(source: str, owner: str, name: str, digest: str, written: dict[str, Any]) -> Candidate:
    """Return a trigger as it was written down."""
    read = documents.read(written)
    return Candidate(
        Repository(source=source, owner=owner, name=name), Trigger(read.filters[0], read.actions[0], read.name), digest
    )


def _key(candidate: Candidate) -> tuple[str, str, str, str]:
    place = candidate.repository
    return (place.source, place.owner, place.name, candidate.digest)


SET_DIGEST = """
    UPDATE pipelines SET triggers_digest = $4
    WHERE source = $1 AND owner = $2 AND name = $3 AND triggers_digest <> $4
    RETURNING triggers_digest
"""

DELETE = "DELETE FROM triggers WHERE source = $1 AND owner = $2 AND name = $3"

INSERT = """
    INSERT INTO triggers (source, owner, name, digest, kind, key, written) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

INSERT_SCHEDULE = """
    INSERT INTO schedules (key, schedule, timezone) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING
"""

_SELECT = """
    SELECT t.source, t.owner, t.name, t.digest, t.written
    FROM triggers t JOIN pipelines p ON p.source = t.source AND p.owner = t.owner AND p.name = t.name
    WHERE t.kind = $1 AND t.key = {} AND NOT p.archived
    ORDER BY t.source, t.owner, t.name, t.digest
"""

SELECT = _SELECT.format("ANY($2)")

SELECT_ONE = _SELECT.format("$2")
"""How many keys an array has, PostgreSQL only knows when it plans anew each time, which takes longer than to look."""

WATCHED = """
    SELECT tag, image_digest FROM watched_tags WHERE source = $1 AND owner = $2 AND name = $3 AND digest = $4
"""

WATCH = """
    INSERT INTO watched_tags (source, owner, name, digest, tag, image_digest) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (source, owner, name, digest)
    DO UPDATE SET tag = excluded.tag, image_digest = excluded.image_digest, seen_at = now()
"""
