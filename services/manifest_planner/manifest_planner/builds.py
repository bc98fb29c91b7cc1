"""The `pipelines` and `builds` tables. Nobody else writes them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg
from estafette_common.bus.messages.events import Commit, GitPushed, PipelineChanged, PipelineEvent
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Outcome, Status
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.reading import parse
from estafette_common.triggers import documents

from manifest_planner import places, triggers
from manifest_planner.declared import Declared, declared
from manifest_planner.lives import Lives
from manifest_planner.planning import BuildRow


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBuild:
    """A build before it has a number."""

    id: str
    push: GitPushed
    branch: str
    version: Callable[[int], str]
    """The version that a number gives."""
    declared: Declared | None = None
    """What its manifest declares; nothing when that is not valid: then the pipeline keeps what it had."""
    events: tuple[dict[str, Any], ...] = ()
    """What started it, as the reference's API has it."""
    hops: int = 0
    """How many triggers fired one after the other until there was this build."""
    manifest: str
    heard_at: datetime | None = None
    """When a forge told of it; what a repository did before it moved is of the place where it is now."""
    rejected: str = ""
    """Why it ends before it begins; empty when it does not."""
    concurrency_group: str = ""
    """Whose builds it may have to wait for; empty: it waits for none."""
    concurrency_policy: str = ""
    repeats: BuildRow | None = None
    """The build whose number it has, instead of one of its own."""
    resumes: str = ""
    """The build whose workspace it goes on in."""


class RefusedError(Exception):
    """A build cannot be repeated; the message says why."""


class Builds(Lives):
    """Stores builds, and moves them forward."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "builds")

    async def add(self, new: NewBuild) -> BuildRow:
        """Store a build under the next number of its pipeline, and return it.

        Adding the same id again returns what was stored first: no number is taken twice or left out. Raises
        RefusedError where it repeats a build whose version is being built or has succeeded.
        """

        async def work(db: asyncpg.Connection) -> BuildRow:
            place = await places.lock(db, new.push.repository, heard_at=new.heard_at)
            row = await db.fetchrow(SELECT, new.id)
            return _row(row if row is not None else await _insert(db, _at(place, new)))

        return await self._database.transact(work)

    async def get(self, build_id: str) -> BuildRow | None:
        """Return a build, or nothing when there is none of this id."""
        row = await self._database.pool.fetchrow(SELECT, build_id)
        return _row(row) if row is not None else None

    async def last_of_version(self, repository: Repository, version: str) -> tuple[BuildRow, tuple[Commit, ...]] | None:
        """Return the newest build of a version with its commits, or nothing when there is none."""
        row = await self._database.pool.fetchrow(
            LAST_OF_VERSION, repository.source, repository.owner, repository.name, version
        )
        if row is None:
            return None
        build = await self.get(row["id"])
        return (build, tuple(Commit.model_validate(each) for each in row["commits"])) if build else None

    async def installation_of(self, repository: Repository) -> int | None:
        """Return the installation that the newest build of a pipeline came through, if any."""
        key = (repository.source, repository.owner, repository.name)
        found: int | None = await self._database.pool.fetchval(LAST_INSTALLATION, *key)
        return found

    async def told_at_end(self, build_id: str) -> PipelineChanged | None:
        """Return what is told of a build that ended, or nothing when there is none of this id."""
        build = await self.get(build_id)
        if build is None or build.outcome is None:
            return None
        return PipelineChanged(
            event=PipelineEvent.FINISHED,
            build_id=build.id,
            repository=Repository(source=build.source, owner=build.owner, name=build.name),
            branch=build.branch,
            revision=build.revision,
            version=build.version,
            status=Outcome(build.outcome).status,
            outcome=Outcome(build.outcome),
            reason=build.reason,
            installation=build.installation,
            hops=build.hops,
        )


async def _insert(db: asyncpg.Connection, new: NewBuild) -> Any:
    repository = new.push.repository
    key = (repository.source, repository.owner, repository.name)
    written = _documents(new.declared) if new.declared else await db.fetchrow(LAST_DECLARED, *key)
    counter = await _counter(db, new, key)
    row = await db.fetchrow(INSERT, *_values(new, counter), *(written or ([], [], [])))
    if new.declared is not None and not new.repeats:  # what is repeated may be older than the newest
        await triggers.replace(db, key, new.declared.triggers)
    return row


def _at(place: Repository, new: NewBuild) -> NewBuild:
    """Return a build of the place where its repository is now."""
    old = new.push.repository
    if place == old:
        return new
    return replace(
        new,
        push=new.push.model_copy(update={"repository": place}),
        declared=declared(parse(new.manifest), place.pipeline) if new.declared else None,
        concurrency_group=new.concurrency_group.replace(f"{old.pipeline} ", f"{place.pipeline} ", 1),
    )


async def _counter(db: asyncpg.Connection, new: NewBuild, key: tuple[str, str, str]) -> int:
    """Return the next number of the pipeline, or that of the build that is repeated. The pipeline is locked."""
    if new.repeats is None:
        return int(await db.fetchval(NEXT_COUNTER, *key, new.id))
    obstacle = await db.fetchrow(HINDERS, *key, new.repeats.version)
    if obstacle is not None:
        raise RefusedError(f"build {obstacle['id']} of version {new.repeats.version} is {obstacle['status']}")
    await db.execute(SHOW_REPEATED, *key, new.id, new.repeats.counter)
    return new.repeats.counter


def _row(row: Any) -> BuildRow:
    return BuildRow(**row)


def _values(new: NewBuild, counter: int) -> list[Any]:
    push, repository = new.push, new.push.repository
    return [
        new.id,
        repository.source,
        repository.owner,
        repository.name,
        new.branch,
        push.revision,
        counter,
        new.version(counter),
        Status.FAILED if new.rejected else Status.PENDING,
        Outcome.REJECTED if new.rejected else None,
        new.rejected,
        new.manifest,
        [commit.model_dump() for commit in push.commits],
        list(new.events),
        push.installation,
        new.hops,
        None if new.repeats else counter,
        new.repeats.id if new.repeats else None,
        new.concurrency_group,
        new.concurrency_policy,
        new.resumes,
    ]


def _documents(declared: Declared) -> tuple[Any, ...]:
    return (
        [{"key": key, "value": value} for key, value in declared.labels.items()],
        list(declared.release_targets),
        [documents.write(trigger) for trigger in declared.triggers],
    )


COLUMNS = """
    id, source, owner, name, branch, revision, counter, version, status, installation, manifest, outcome, reason,
    attempt, dispatched_at IS NOT NULL AS dispatched, trigger_events AS events, hops, concurrency_group,
    runtime, resumes
"""

NEWEST_FIRST = "counter DESC, inserted_at DESC, id DESC"
"""The order of the builds of a pipeline. One that repeats another has its number, and so may those of two pipelines
that became one; of these, what was stored later is newer."""

SELECT = f"SELECT {COLUMNS} FROM builds WHERE id = $1"  # noqa: S608  constants

NEXT_COUNTER = """
    UPDATE pipelines SET last_counter = last_counter + 1, last_build_id = $4
    WHERE source = $1 AND owner = $2 AND name = $3
    RETURNING last_counter
"""

LAST_DECLARED = f"""
    SELECT labels, release_targets, triggers FROM builds WHERE source = $1 AND owner = $2 AND name = $3
    ORDER BY {NEWEST_FIRST} LIMIT 1
"""  # noqa: S608  constants

LAST_OF_VERSION = """
    SELECT id, commits FROM builds WHERE source = $1 AND owner = $2 AND name = $3 AND version = $4
    ORDER BY inserted_at DESC, id DESC LIMIT 1
"""

LAST_INSTALLATION = """
    SELECT installation FROM builds WHERE source = $1 AND owner = $2 AND name = $3 AND installation IS NOT NULL
    ORDER BY inserted_at DESC, id DESC LIMIT 1
"""

SHOW_REPEATED = """
    UPDATE pipelines SET last_build_id = $4 WHERE source = $1 AND owner = $2 AND name = $3 AND last_counter = $5
"""

HINDERS = """
    SELECT id, status FROM builds WHERE source = $1 AND owner = $2 AND name = $3 AND version = $4
        AND status NOT IN ('failed', 'canceled') LIMIT 1
"""

INSERT = f"""
    INSERT INTO builds (
        id, source, owner, name, branch, revision, counter, version, status, outcome, reason, manifest, commits,
        trigger_events, installation, hops, number_taken, rebuild_of, concurrency_group,
        concurrency_policy, resumes, labels, release_targets, triggers, finished_at
    ) VALUES (
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
        CASE WHEN $9 = 'failed' THEN now() END
    )
    RETURNING {COLUMNS}
"""  # noqa: S608  constants
