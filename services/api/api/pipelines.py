"""Pipelines, their builds, releases and runs of bots, read only."""

from dataclasses import dataclass
from typing import Any

from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import FINAL

from api.queries import Query

REVISION_LENGTH = 40
"""Characters of a git revision; anything else is an id."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, and how many there are."""

    rows: list[Any]
    total: int


class Pipelines:
    """Reads pipelines, builds, releases and runs of bots."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pipelines(self, query: Query) -> Page:
        """Return the newest build of each pipeline."""
        return await self._page(PIPELINES, query, query.archived, columns=OF_PIPELINE)

    async def pipeline(self, source: str, owner: str, name: str) -> Any | None:
        """Return the newest build of a pipeline, or nothing."""
        return await self._database.pool.fetchrow(PIPELINE, source, owner, name)

    async def builds(self, source: str, owner: str, name: str, query: Query) -> Page:
        """Return builds of a pipeline."""
        return await self._page(BUILDS, query, source, owner, name)

    async def build(self, source: str, owner: str, name: str, id: str) -> Any | None:
        """Return a build by its id or its revision, or nothing."""
        statement = BUILD_BY_REVISION if len(id) == REVISION_LENGTH else BUILD_BY_ID
        return await self._database.pool.fetchrow(statement, source, owner, name, id)

    async def releases(self, source: str, owner: str, name: str, query: Query) -> Page:
        """Return releases of a pipeline."""
        return await self._page(RELEASES, query, source, owner, name)

    async def release(self, source: str, owner: str, name: str, id: str) -> Any | None:
        """Return a release by its id, or nothing."""
        return await self._database.pool.fetchrow(f"SELECT b.* {RELEASES} AND b.id = $4", source, owner, name, id)

    async def bots(self, source: str, owner: str, name: str, query: Query) -> Page:
        """Return runs of bots of a pipeline."""
        return await self._page(BOTS, query, source, owner, name)

    async def bot(self, source: str, owner: str, name: str, id: str) -> Any | None:
        """Return a run of a bot by its id, or nothing."""
        return await self._database.pool.fetchrow(f"SELECT b.* {BOTS} AND b.id = $4", source, owner, name, id)

    async def is_final(self, build_id: str) -> bool:
        """Return whether a build came to its end."""
        return await self._database.pool.fetchval("SELECT status FROM builds WHERE id = $1", build_id) in FINAL

    async def _page(self, source: str, query: Query, *values: Any, columns: str = "b.*") -> Page:
        arguments = [*values, list(query.statuses), list(query.branches), f"%{_escaped(query.search)}%", query.since]
        first = len(values) + 1
        where = f"""
            (cardinality(${first}::TEXT[]) = 0 OR b.status = ANY(${first}::TEXT[]))
            AND (cardinality(${first + 1}::TEXT[]) = 0 OR b.branch = ANY(${first + 1}::TEXT[]))
            AND b.source || '/' || b.owner || '/' || b.name LIKE ${first + 2}
            AND (${first + 3}::TIMESTAMPTZ IS NULL OR b.inserted_at >= ${first + 3})
        """
        total = await self._database.pool.fetchval(f"SELECT count(*) {source} AND {where}", *arguments)
        rows = await self._database.pool.fetch(
            f"SELECT {columns} {source} AND {where} ORDER BY {query.order} LIMIT {query.size} OFFSET {query.offset}",
            *arguments,
        )
        return Page(rows, total)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


OF_PIPELINE = "b.*, p.archived, p.median_pending, p.median_duration, p.recent_committers, p.recent_releasers"

PIPELINES = "FROM pipelines AS p JOIN builds AS b ON b.id = p.last_build_id WHERE p.archived = $1"

BUILDS = "FROM builds AS b WHERE b.source = $1 AND b.owner = $2 AND b.name = $3"

RELEASES = """
    FROM (SELECT r.*, c.branch, c.revision FROM releases AS r JOIN builds AS c ON c.id = r.build_id) AS b
    WHERE b.source = $1 AND b.owner = $2 AND b.name = $3
"""

BOTS = """
    FROM (SELECT r.*, c.branch, c.revision, c.version FROM bots AS r JOIN builds AS c ON c.id = r.build_id) AS b
    WHERE b.source = $1 AND b.owner = $2 AND b.name = $3
"""

PIPELINE = f"""
    SELECT {OF_PIPELINE} FROM pipelines AS p JOIN builds AS b ON b.id = p.last_build_id
    WHERE p.source = $1 AND p.owner = $2 AND p.name = $3
"""  # noqa: S608  constants

BUILD_BY_ID = "SELECT * FROM builds WHERE source = $1 AND owner = $2 AND name = $3 AND id = $4"

BUILD_BY_REVISION = """
    SELECT * FROM builds WHERE source = $1 AND owner = $2 AND name = $3 AND revision = $4
    ORDER BY inserted_at DESC NULLS LAST LIMIT 1
"""
