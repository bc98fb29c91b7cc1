"""Builds of the past, as releases, bots and triggers ask for them. Reads only."""

from estafette_common.database.pool import Database
from estafette_common.jobs.plan import Repository

from manifest_planner import places
from manifest_planner.builds import COLUMNS, NEWEST_FIRST
from manifest_planner.planning import BuildRow


class History:
    """Looks up builds of a pipeline."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, repository: Repository) -> Repository:
        """Return where a pipeline is now, for who asks by a name that it had."""
        return await places.now(self._database, repository)

    async def newest(self, repository: Repository, *, branch: str | None = None) -> BuildRow | None:
        """Return the newest build of a pipeline, or of a branch of it; nothing when there is none.

        Those that were rejected do not count, for their manifests may not be readable.
        """
        if branch is None:
            return await self._one(NEWEST, repository)
        return await self._one(NEWEST_OF_BRANCH, repository, branch)

    async def current(self, repository: Repository, branch: str, *, own: str = "") -> BuildRow | None:
        """Return the newest build of a branch, or of the pipeline where that has none; nothing when there is none.

        `own` is the id of the build of the push that fired what asks, if it has one: that is the newest for it,
        whatever was stored meanwhile, unless another branch is asked for.
        """
        of_branch = await self.newest(repository, branch=branch)
        mine = await self._one(READABLE_ONE, repository, own) if own else None
        if mine is not None and (of_branch is None or mine.branch == branch):
            return mine
        return of_branch or await self.newest(repository)

    async def newest_succeeded(self, repository: Repository) -> BuildRow | None:
        """Return the newest build that succeeded; nothing when there is none."""
        return await self._one(NEWEST_SUCCEEDED, repository)

    async def succeeded(self, repository: Repository, version: str) -> BuildRow | None:
        """Return the newest succeeded build of a version; nothing when there is none."""
        return await self._one(SUCCEEDED, repository, version)

    async def _one(self, statement: str, repository: Repository, *values: str) -> BuildRow | None:
        key = (repository.source, repository.owner, repository.name)
        row = await self._database.pool.fetchrow(statement, *key, *values)
        return BuildRow(**row) if row is not None else None


OF_PIPELINE = f"SELECT {COLUMNS} FROM builds WHERE source = $1 AND owner = $2 AND name = $3"  # noqa: S608  constants

READABLE = "COALESCE(outcome, '') <> 'rejected'"

NEWEST = f"{OF_PIPELINE} AND {READABLE} ORDER BY {NEWEST_FIRST} LIMIT 1"

NEWEST_OF_BRANCH = f"{OF_PIPELINE} AND branch = $4 AND {READABLE} ORDER BY {NEWEST_FIRST} LIMIT 1"

READABLE_ONE = f"{OF_PIPELINE} AND {READABLE} AND id = $4"

NEWEST_SUCCEEDED = f"{OF_PIPELINE} AND status = 'succeeded' ORDER BY {NEWEST_FIRST} LIMIT 1"

SUCCEEDED = f"{OF_PIPELINE} AND version = $4 AND status = 'succeeded' ORDER BY {NEWEST_FIRST} LIMIT 1"
