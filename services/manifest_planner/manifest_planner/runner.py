"""Releases and bots in, jobs out. Effect first, then publish; the bus acknowledges last."""

from dataclasses import dataclass, replace

import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.events import PipelineEvent
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import FINAL, Kind, Outcome

from manifest_planner import releasing
from manifest_planner.bots import BotRow, Bots, NewBot
from manifest_planner.choosing import Chosen
from manifest_planner.declared import triggers_of
from manifest_planner.memories import Memories
from manifest_planner.planning import BuildRow, Server, clone_url
from manifest_planner.releases import NewRelease, ReleaseRow, Releases, changed
from manifest_planner.releasing import Job
from manifest_planner.sealing import Sealer
from manifest_planner.telling import control_log

log = structlog.get_logger()

VALIDATE_SECRETS = "validate-secrets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What became of the wish for a build, release or bot: `started`, `ignored`, `refused` or `rejected`, and why."""

    decision: str
    reason: str
    kind: Kind | None = None
    job_id: str | None = None
    build: BuildRow | None = None


class Runner:
    """Makes jobs of releases and bots. The same cause gives the same job."""

    def __init__(
        self, releases: Releases, bots: Bots, memories: Memories, sealer: Sealer, bus: Publisher, *, server: Server
    ) -> None:
        self._releases = releases
        self._bots = bots
        self._memories = memories
        self._sealer = sealer
        self._bus = bus
        self._server = server

    async def release(self, new: NewRelease, chosen: Chosen, cause: Cause, *, reason: str) -> Begun:
        """Store a release, request its job and tell of it."""
        wrong = self._sealer.unusable(chosen.build.manifest, pipeline=new.repository.pipeline)
        row = await self._releases.add(replace(new, rejected=wrong[0] if wrong else ""))
        job = Job(kind=Kind.RELEASE, id=row.id, runs=chosen.runs, action=row.action, events=row.events)
        begun = await self._begin(row, job, chosen, cause, wrong=wrong, reason=reason)
        await self._bus.publish(changed(row, PipelineEvent.STARTED), id=cause.derive(identity.STARTED))
        if begun.decision == "rejected":
            ended = changed(row, PipelineEvent.FINISHED, outcome=Outcome.REJECTED)
            await self._bus.publish(ended, id=cause.derive(identity.FINISHED))
        return begun

    async def bot(self, new: NewBot, chosen: Chosen, cause: Cause, *, reason: str) -> Begun:
        """Store a run of a bot and request its job."""
        wrong = self._sealer.unusable(chosen.build.manifest, pipeline=new.repository.pipeline)
        row = await self._bots.add(replace(new, rejected=wrong[0] if wrong else ""))
        job = Job(kind=Kind.BOT, id=row.id, runs=chosen.runs, events=row.events)
        return await self._begin(row, job, chosen, cause, wrong=wrong, reason=reason)

    async def _begin(
        self, row: ReleaseRow | BotRow, job: Job, chosen: Chosen, cause: Cause, *, wrong: list[str], reason: str
    ) -> Begun:
        """Request a job, unless it is rejected, under way or over; what was stored decides."""
        if row.outcome == Outcome.REJECTED:
            lines = wrong or [row.reason]
            chunk = control_log(row.id, VALIDATE_SECRETS, lines, outcome=Outcome.REJECTED, at=cause.time, kind=job.kind)
            await self._bus.publish(chunk, id=chunk.id)
            log.info("job rejected", kind=job.kind, job=job.id, reason=row.reason)
            return Begun(decision="rejected", reason=row.reason, kind=job.kind, job_id=job.id, build=chosen.build)
        if not row.dispatched and row.status not in FINAL:
            await self._request(job, chosen, cause)
        return Begun(decision="started", reason=reason, kind=job.kind, job_id=job.id, build=chosen.build)

    async def _request(self, job: Job, chosen: Chosen, cause: Cause) -> None:
        build = chosen.build
        url = clone_url(self._server.clone_url, build.repository)
        token = await self._sealer.clone_token(build.repository, url, build.installation)
        remembered = await self._memories.recall(triggers_of(chosen.manifest, build.repository.pipeline))
        plan = releasing.plan(
            job, build, chosen.manifest, server=self._server, clone_token=token, remembered=remembered
        )
        sealed, key = self._sealer.seal(plan)
        requested = JobRequested(kind=job.kind, job_id=job.id, plan=sealed, sealed_key=key)
        await self._bus.publish(requested, id=cause.derive("job-requested"))
        log.info("job planned", kind=job.kind, job=job.id, pipeline=build.repository.pipeline, runs=job.runs.name)
