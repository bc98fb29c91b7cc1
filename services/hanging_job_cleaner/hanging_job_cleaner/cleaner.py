"""Looks now and then whether builds and jobs agree, and mends it where they do not."""

import asyncio
from datetime import UTC, datetime
from typing import Protocol

import asyncpg
import nats.errors
import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Cancel, Lose
from estafette_common.bus.messages.events import CleaningAction as Do
from estafette_common.bus.publishing import NotStoredError, Publisher
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.runtimes import JobRuntime, RuntimeUnavailableError
from estafette_common.service import Background
from prometheus_client import Counter

from hanging_job_cleaner.actions import Action
from hanging_job_cleaner.builds import Builds
from hanging_job_cleaner.disposing import Allocated, dispose
from hanging_job_cleaner.leftovers import Thing, sweep
from hanging_job_cleaner.reconciling import BuildState, Findings, Limits, reconcile, silent, under_way
from hanging_job_cleaner.requests import SOURCE, Requests

log = structlog.get_logger()

ACTIONS = Counter("estafette_cleaned_total", "What was mended, or would have been.", ["action", "dry_run"])

UNREACHABLE = (
    RuntimeUnavailableError,
    NotStoredError,
    nats.errors.Error,
    TimeoutError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)
"""A part that cannot be asked: this look is skipped, and nothing is declared lost on a guess."""


class Surroundings(Protocol):
    """Where jobs lie, besides what their runtime tells of them. Everything raises RuntimeUnavailableError."""

    async def things(self) -> list[Thing]:
        """Return the jobs, and what belongs to jobs."""
        ...

    async def namespaces(self) -> list[Allocated]:
        """Return the namespaces that runs have for themselves."""
        ...

    async def do(self, action: Action) -> None:
        """Remove what belongs to a job, or scale down or remove a namespace."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Cleaner(Background):
    """A part of the service: looks every `interval` seconds. Several replicas do no harm."""

    def __init__(
        self,
        builds: Builds,
        runtime: JobRuntime,
        requests: Requests,
        bus: Publisher,
        *,
        cluster: Surroundings | None = None,
        limits: Limits,
        interval: float,
        dry_run: bool = False,
    ) -> None:
        """With `dry_run`, only tell what would be done. Without a cluster, jobs leave nothing anywhere."""
        self._builds = builds
        self._runtime = runtime
        self._requests = requests
        self._bus = bus
        self._cluster = cluster
        self._limits = limits
        self._interval = interval
        self._dry_run = dry_run
        self._told: frozenset[str] = frozenset()

    async def stop(self) -> None:
        """Stop looking, and let go of the runtime."""
        await super().stop()
        await self._runtime.close()
        if self._cluster is not None:
            await self._cluster.close()

    async def look(self) -> None:
        """Look once, and mend what is wrong; what cannot be mended now is tried with the next look."""
        actions = await self._decide()
        self._told &= {action.id for action in actions}
        for action in actions:
            try:
                await self._mend(action)
            except UNREACHABLE as error:
                log.warning("cannot mend now", action=action.do, kind=action.kind, job=action.job_id, error=repr(error))

    async def _decide(self) -> list[Action]:
        # In this order: once no request waits, the jobs of all that were handled are there to be listed.
        waiting = await self._requests.are_waiting()
        jobs = await self._runtime.jobs()
        things = await self._cluster.things() if self._cluster else []
        namespaces = await self._cluster.namespaces() if self._cluster else []
        named = {each.job_id for found in (jobs, things, namespaces) for each in found}
        builds = await self._builds.active_or_among(list(named))
        reported = await self._builds.reported([each.job_id for each in namespaces])
        now = datetime.now(UTC)
        found = Findings(
            builds=builds,
            jobs=jobs,
            told={
                each.id: await self._requests.last_told(each.kind, each.id)
                for each in silent(builds, now, self._limits)
            },
            timeouts=await self._requests.timeouts(_names(under_way(builds, now))),
            requests_waiting=waiting,
            now=now,
        )
        return [
            *reconcile(found, self._limits),
            *sweep(things, builds, now, self._limits),
            *dispose(namespaces, builds, reported=reported, now=now, limits=self._limits),
        ]

    async def _mend(self, action: Action) -> None:
        """Tell of an action and do it: in this order, for what is mended is not found a second time to be told."""
        if action.id not in self._told:
            log.warning("mending", action=action.do, dry_run=self._dry_run, **_fields(action))
            await self._bus.publish(action.event(dry_run=self._dry_run), id=action.id)
            self._told |= {action.id}
            ACTIONS.labels(action.do, str(self._dry_run).lower()).inc()
        if not self._dry_run:
            await self._do(action)

    async def _do(self, action: Action) -> None:
        kind, job_id = action.kind, action.job_id
        match action.do:
            case Do.LOST:
                lose = Lose(kind=Kind(kind), job_id=job_id, reason=action.reason)
                await self._bus.publish(lose, id=identity.derive(job_id, "lose"))
            case Do.CANCELED:
                cancel = Cancel(kind=Kind(kind), job_id=job_id, reason=action.reason, by=SOURCE)
                await self._bus.publish(cancel, id=identity.derive(job_id, "overdue"))
            case Do.TOLD_AGAIN:
                await self._requests.tell_again(Kind(kind), job_id)
            case Do.JOB_REMOVED:
                await self._runtime.remove(action.name)
            case _ if self._cluster:
                await self._cluster.do(action)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except UNREACHABLE as error:
                log.warning("cannot look now", error=repr(error))
            except Exception:
                log.exception("looking failed")


def _names(builds: list[BuildState]) -> list[tuple[Kind, str]]:
    return [(build.kind, build.id) for build in builds]


def _fields(action: Action) -> dict[str, str]:
    """Return what is logged of an action."""
    return {"kind": action.kind, "job": action.job_id, "name": action.name, "reason": action.reason}
