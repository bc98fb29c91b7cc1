"""The `releases` and `release_targets` tables. Nobody else writes them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from estafette_common.bus.messages.events import PipelineEvent, ReleaseChanged
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Outcome, Status
from estafette_common.jobs.plan import Repository

from manifest_planner.lives import About, Lives


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRelease:
    """A release before it is stored."""

    id: str
    repository: Repository
    target: str
    action: str
    version: str
    build_id: str
    """Of the build that is released."""
    events: tuple[dict[str, Any], ...]
    """What started it, as the reference's API has it."""
    hops: int = 0
    """How many triggers fired one after the other until there was this release."""
    rejected: str = ""
    """Why it ends before it begins; empty when it does not."""
    concurrency_group: str = ""
    """Whose jobs it may have to wait for; empty: it waits for none."""
    concurrency_policy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    """A release as it was stored, with what it has of its build."""

    id: str
    source: str
    owner: str
    name: str
    target: str
    action: str
    version: str
    build_id: str
    branch: str
    revision: str
    installation: int | None
    status: str
    outcome: str | None
    reason: str
    dispatched: bool
    events: tuple[dict[str, Any], ...]
    hops: int
    concurrency_group: str = ""
    """Whose jobs it may have to wait for; empty: it waits for none."""

    @property
    def repository(self) -> Repository:
        """Where it is built from."""
        return Repository(source=self.source, owner=self.owner, name=self.name)


class Releases(Lives):
    """Stores releases and moves them forward; knows what is live."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "releases")

    async def add(self, new: NewRelease) -> ReleaseRow:
        """Store a release and return it. Adding the same id again returns what was stored first."""
        await self._database.pool.execute(INSERT, *_values(new))
        row = await self.get(new.id)
        if row is None:
            raise LookupError(f"release {new.id}: its build {new.build_id} is not there")
        return row

    async def get(self, release_id: str) -> ReleaseRow | None:
        """Return a release, or nothing when there is none of this id."""
        row = await self._database.pool.fetchrow(SELECT, release_id)
        return ReleaseRow(**row) if row is not None else None

    async def live(self, repository: Repository, target: str, action: str) -> str:
        """Return the version that was released last to a target with an action; empty when there is none."""
        key = (repository.source, repository.owner, repository.name)
        return await self._database.pool.fetchval(LIVE, *key, target, action) or ""

    async def finished(
        self, job_id: str, outcome: Outcome, *, at: datetime, attempt: int | None = None, reason: str = ""
    ) -> bool:
        """End a release as `Lives` does; one that succeeded is live from then on, unless a later one is."""
        ended = await super().finished(job_id, outcome, at=at, attempt=attempt, reason=reason)
        if ended:
            await self._database.pool.execute(SET_LIVE, job_id)
        return ended

    async def about(self, job_id: str) -> About | None:
        """Return what a release is about, or nothing when there is none of this id."""
        row = await self.get(job_id)
        if row is None:
            return None
        return About(repository=row.repository, branch=row.branch, revision=row.revision, version=row.version)

    async def told_at_end(self, release_id: str) -> ReleaseChanged | None:
        """Return what is told of a release that ended, or nothing when there is none of this id."""
        release = await self.get(release_id)
        if release is None or release.outcome is None:
            return None
        return changed(release, PipelineEvent.FINISHED, outcome=Outcome(release.outcome))


def changed(release: ReleaseRow, event: PipelineEvent, *, outcome: Outcome | None = None) -> ReleaseChanged:
    """Return what is told of a release that was created, or ended with an outcome."""
    return ReleaseChanged(
        event=event,
        release_id=release.id,
        repository=release.repository,
        target=release.target,
        action=release.action,
        version=release.version,
        build_id=release.build_id,
        branch=release.branch,
        revision=release.revision,
        status=outcome.status if outcome else Status.PENDING,
        outcome=outcome,
        reason=release.reason if outcome else "",
        installation=release.installation,
        hops=release.hops,
    )


def _values(new: NewRelease) -> list[Any]:
    return [
        new.id,
        new.repository.source,
        new.repository.owner,
        new.repository.name,
        new.target,
        new.action,
        new.version,
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
    INSERT INTO releases (
        id, source, owner, name, target, action, version, build_id, status, outcome, reason, trigger_events, hops,
        concurrency_group, concurrency_policy, finished_at
    ) VALUES (
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, CASE WHEN $9 = 'failed' THEN now() END
    )
    ON CONFLICT (id) DO NOTHING
"""

SELECT = """
    SELECT r.id, r.source, r.owner, r.name, r.target, r.action, r.version, r.build_id, b.branch, b.revision,
        b.installation, r.status, r.outcome, r.reason, r.dispatched_at IS NOT NULL AS dispatched,
        r.trigger_events AS events, r.hops, r.concurrency_group
    FROM releases r JOIN builds b ON b.id = r.build_id WHERE r.id = $1
"""

LIVE = """
    SELECT version FROM release_targets
    WHERE source = $1 AND owner = $2 AND name = $3 AND target = $4 AND action = $5
"""

SET_LIVE = """
    INSERT INTO release_targets (source, owner, name, target, action, release_id, version, released_at)
    SELECT source, owner, name, target, action, id, version, finished_at FROM releases
    WHERE id = $1 AND outcome = 'succeeded'
    ON CONFLICT (source, owner, name, target, action)
    DO UPDATE SET release_id = excluded.release_id, version = excluded.version, released_at = excluded.released_at
    WHERE release_targets.released_at < excluded.released_at
"""
