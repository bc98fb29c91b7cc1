"""Where pipelines are: the rows of `pipelines` that everything locks, and all that moves with a repository."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg
from estafette_common.database.pool import Database
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.findings import ManifestError
from estafette_common.manifest.reading import parse

from manifest_planner import triggers
from manifest_planner.declared import declared

MOST_MOVES = 100
"""Of one repository, after each other; more would be a circle, which cannot be."""


class Places:
    """Moves and archives pipelines. An event that is older than what is known changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def move(self, old: Repository, new: Repository, *, at: datetime) -> None:
        """Let all of a pipeline be of another place, unless something later is known of it."""

        async def work(db: asyncpg.Connection) -> None:
            await _move(db, old, new, at)

        await self._database.transact(work)

    async def archive(self, place: Repository, *, archived: bool, at: datetime) -> None:
        """Let a pipeline be archived or not, unless something later is known of it."""

        async def work(db: asyncpg.Connection) -> None:
            now = await lock(db, place, heard_at=at)
            await db.execute(ARCHIVE, *_key(now), archived, at)

        await self._database.transact(work)


async def now(database: Database, place: Repository) -> Repository:
    """Return where a pipeline is now."""
    for _ in range(MOST_MOVES):
        moved_to = await database.pool.fetchval(MOVED_TO, *_key(place))
        if not moved_to:
            return place
        place = _repository(moved_to)
    raise AssertionError(f"{place.pipeline} moves in a circle")


async def lock(db: asyncpg.Connection, place: Repository, *, heard_at: datetime | None = None) -> Repository:
    """Lock the row of a pipeline, which is made if need be; return where the pipeline is now.

    What was heard after it moved away is about a new repository under its old name.
    """
    for _ in range(MOST_MOVES):
        left = await _lock(db, place)
        if left is None:
            return place
        if heard_at is not None and left.at < heard_at:
            await db.execute(BEGIN_ANEW, *_key(place), heard_at)
            return place
        place = left.to
    raise AssertionError(f"{place.pipeline} moves in a circle")


async def _move(db: asyncpg.Connection, old: Repository, new: Repository, at: datetime) -> None:
    for each in sorted((old, new), key=lambda place: place.pipeline):  # two moves lock in the same order
        await _lock(db, each)
    placed_at = await db.fetchval(PLACED_AT, *_key(old))
    if placed_at is not None and placed_at > at:
        return
    new = await _lock_then(db, new, at)
    if new == old:
        return
    places = (*_key(old), *_key(new))
    await db.execute(FREE_NUMBERS, *places)
    for table in HISTORY:
        await db.execute(RENAME.format(table=table), *places)
    for table in WAITING:
        await db.execute(RENAME_GROUP.format(table=table), *_key(new), f"{old.pipeline} ", f"{new.pipeline} ")
    for statement in (MERGE_LIVE, MERGE_WATCHED, MERGE):
        await db.execute(statement, *places)
    for table in ("release_targets", "watched_tags", "triggers"):
        await db.execute(FORGET.format(table=table), *_key(old))
    await db.execute(FORGET.format(table="triggers"), *_key(new))
    await db.execute(PLACE, *_key(new), at)
    await db.execute(LEAVE, *_key(old), new.pipeline, at)
    await _wait_again(db, new)


async def _lock_then(db: asyncpg.Connection, place: Repository, at: datetime) -> Repository:
    """Return where something that moved to a place then is now: that may have moved on since."""
    for _ in range(MOST_MOVES):
        left = await _lock(db, place)
        if left is None or left.at <= at:
            return place
        place = left.to
    raise AssertionError(f"{place.pipeline} moves in a circle")


async def _wait_again(db: asyncpg.Connection, place: Repository) -> None:
    """Write down the triggers of the newest manifest anew: they may name their own pipeline."""
    text = await db.fetchval(NEWEST_MANIFEST, *_key(place))
    try:
        found = declared(parse(text), place.pipeline).triggers if text else ()
    except ManifestError:
        found = ()
    await triggers.replace(db, _key(place), found)


@dataclass(frozen=True, slots=True)
class _Left:
    """Where a pipeline went, and when."""

    to: Repository
    at: datetime


async def _lock(db: asyncpg.Connection, place: Repository) -> _Left | None:
    """Lock the row of a place; return where its pipeline went, or nothing when it is there."""
    row = await db.fetchrow(LOCK, *_key(place))
    if row is None or not row["moved_to"]:
        return None
    return _Left(_repository(row["moved_to"]), row["placed_at"])


def _key(place: Repository) -> tuple[str, str, str]:
    return (place.source, place.owner, place.name)


def _repository(pipeline: str) -> Repository:
    source, owner, name = pipeline.split("/", 2)
    return Repository(source=source, owner=owner, name=name)


HISTORY = ("builds", "releases", "bots", "decisions")

WAITING = ("builds", "releases", "bots")
"""Those that may be in a group, which is named after the pipeline."""

LOCK = """
    INSERT INTO pipelines AS p (source, owner, name) VALUES ($1, $2, $3)
    ON CONFLICT (source, owner, name) DO UPDATE SET last_counter = p.last_counter
    RETURNING moved_to, placed_at
"""

MOVED_TO = "SELECT moved_to FROM pipelines WHERE source = $1 AND owner = $2 AND name = $3"

PLACED_AT = "SELECT placed_at FROM pipelines WHERE source = $1 AND owner = $2 AND name = $3"

BEGIN_ANEW = """
    UPDATE pipelines SET moved_to = '', placed_at = $4 WHERE source = $1 AND owner = $2 AND name = $3
"""

ARCHIVE = """
    UPDATE pipelines SET archived = $4, archived_at = $5
    WHERE source = $1 AND owner = $2 AND name = $3 AND (archived_at IS NULL OR archived_at <= $5)
"""

FREE_NUMBERS = """
    UPDATE builds SET number_taken = NULL
    WHERE source = $4 AND owner = $5 AND name = $6 AND number_taken <= (
        SELECT last_counter FROM pipelines WHERE source = $1 AND owner = $2 AND name = $3
    )
"""
"""Of builds that came under the new name before the news of it: their numbers are those of older builds, too."""

RENAME = """
    UPDATE {table} SET source = $4, owner = $5, name = $6 WHERE source = $1 AND owner = $2 AND name = $3
"""

RENAME_GROUP = """
    UPDATE {table} SET concurrency_group = $5 || substr(concurrency_group, length($4) + 1)
    WHERE source = $1 AND owner = $2 AND name = $3 AND left(concurrency_group, length($4)) = $4
"""

MERGE_LIVE = """
    INSERT INTO release_targets AS n (source, owner, name, target, action, release_id, version, released_at)
    SELECT $4, $5, $6, target, action, release_id, version, released_at FROM release_targets
    WHERE source = $1 AND owner = $2 AND name = $3
    ON CONFLICT (source, owner, name, target, action)
    DO UPDATE SET release_id = excluded.release_id, version = excluded.version, released_at = excluded.released_at
    WHERE n.released_at < excluded.released_at
"""

MERGE_WATCHED = """
    INSERT INTO watched_tags (source, owner, name, digest, tag, image_digest, seen_at)
    SELECT $4, $5, $6, digest, tag, image_digest, seen_at FROM watched_tags
    WHERE source = $1 AND owner = $2 AND name = $3
    ON CONFLICT (source, owner, name, digest) DO NOTHING
"""

MERGE = """
    UPDATE pipelines AS n SET
        last_counter = GREATEST(n.last_counter, o.last_counter),
        last_build_id = COALESCE(n.last_build_id, o.last_build_id),
        archived = CASE WHEN n.archived_at IS NULL OR o.archived_at > n.archived_at THEN o.archived ELSE n.archived END,
        archived_at = GREATEST(n.archived_at, o.archived_at),
        median_pending = COALESCE(n.median_pending, o.median_pending),
        median_duration = COALESCE(n.median_duration, o.median_duration),
        recent_committers = CASE WHEN n.last_build_id IS NULL THEN o.recent_committers ELSE n.recent_committers END,
        recent_releasers = CASE WHEN n.last_build_id IS NULL THEN o.recent_releasers ELSE n.recent_releasers END
    FROM pipelines AS o
    WHERE o.source = $1 AND o.owner = $2 AND o.name = $3 AND n.source = $4 AND n.owner = $5 AND n.name = $6
"""

FORGET = "DELETE FROM {table} WHERE source = $1 AND owner = $2 AND name = $3"

PLACE = """
    UPDATE pipelines SET moved_to = '', triggers_digest = '', placed_at = GREATEST(COALESCE(placed_at, $4), $4)
    WHERE source = $1 AND owner = $2 AND name = $3
"""

LEAVE = """
    UPDATE pipelines SET last_counter = 0, last_build_id = NULL, triggers_digest = '', archived = false,
        archived_at = NULL, median_pending = NULL, median_duration = NULL, recent_committers = '[]',
        recent_releasers = '[]', moved_to = $4, placed_at = $5
    WHERE source = $1 AND owner = $2 AND name = $3
"""

NEWEST_MANIFEST = """
    SELECT manifest FROM builds
    WHERE source = $1 AND owner = $2 AND name = $3 AND COALESCE(outcome, '') <> 'rejected'
        AND rebuild_of IS NULL
    ORDER BY counter DESC, inserted_at DESC, id DESC LIMIT 1
"""
