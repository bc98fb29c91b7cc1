"""Releases and bots in, jobs out. Effect first, then publish; the bus acknowledges last."""

from dataclasses import dataclass, replace

import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.events import PipelineEvent
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import FINAL, Kind, Outcome

from manifest_planner.bots import BotRow, Bots, NewBot
from manifest_planner.choosing import Chosen
from manifest_planner.concurrency import Rules
from manifest_planner.planning import BuildRow
from manifest_planner.queueing import Queue
from manifest_planner.releases import NewRelease, ReleaseRow, Releases, changed
from manifest_planner.sealing import Sealer
from manifest_planner.telling import control_log

log = structlog.get_logger()

VALIDATE_SECRETS = "validate-secrets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What became of the wish for a build, release or bot, and why."""

    decision: str
    """`started`, `waiting`, `ignored`, `refused` or `rejected`"""
    reason: str
    """For people; of one that waits, what for."""
    kind: Kind | None = None
    job_id: str | None = None
    build: BuildRow | None = None


class Runner:
    """Makes jobs of releases and bots. The same cause gives the same job."""

    def __init__(
        self, releases: Releases, bots: Bots, sealer: Sealer, queue: Queue, bus: Publisher, *, rules: Rules
    ) -> None:
        self._releases = releases
        self._bots = bots
        self._sealer = sealer
        self._queue = queue
        self._bus = bus
        self._rules = rules

    async def release(self, new: NewRelease, chosen: Chosen, cause: Cause, *, reason: str) -> Begun:
        """Store a release, request its job as soon as it may begin, and tell of it."""
        wrong = self._sealer.unusable(chosen.build.manifest, pipeline=new.repository.pipeline)
        group, policy = self._place_of(chosen, Kind.RELEASE)
        row = await self._releases.add(
            replace(new, rejected=wrong[0] if wrong else "", concurrency_group=group, concurrency_policy=policy)
        )
        begun = await self._begin(Kind.RELEASE, row, chosen, cause, wrong=wrong, reason=reason)
        await self._bus.publish(changed(row, PipelineEvent.STARTED), id=cause.derive(identity.STARTED))
        if begun.decision == "rejected":
            ended = changed(row, PipelineEvent.FINISHED, outcome=Outcome.REJECTED)
            await self._bus.publish(ended, id=cause.derive(identity.FINISHED))
        return begun

    async def bot(self, new: NewBot, chosen: Chosen, cause: Cause, *, reason: str) -> Begun:
        """Store a run of a bot, and request its job as soon as it may begin."""
        wrong = self._sealer.unusable(chosen.build.manifest, pipeline=new.repository.pipeline)
        group, policy = self._place_of(chosen, Kind.BOT)
        row = await self._bots.add(
            replace(new, rejected=wrong[0] if wrong else "", concurrency_group=group, concurrency_policy=policy)
        )
        return await self._begin(Kind.BOT, row, chosen, cause, wrong=wrong, reason=reason)

    def _place_of(self, chosen: Chosen, kind: Kind) -> tuple[str, str]:
        build = chosen.build
        return self._rules.place_of(
            chosen.manifest, build.repository.pipeline, build.branch, kind, runs=chosen.runs.name
        )

    async def _begin(
        self, kind: Kind, row: ReleaseRow | BotRow, chosen: Chosen, cause: Cause, *, wrong: list[str], reason: str
    ) -> Begun:
        """Request a job or let it wait, unless it is rejected, under way or over; what was stored decides."""
        if row.outcome == Outcome.REJECTED:
            lines = wrong or [row.reason]
            chunk = control_log(row.id, VALIDATE_SECRETS, lines, outcome=Outcome.REJECTED, at=cause.time, kind=kind)
            await self._bus.publish(chunk, id=chunk.id)
            log.info("job rejected", kind=kind, job=row.id, reason=row.reason)
            return Begun(decision="rejected", reason=row.reason, kind=kind, job_id=row.id, build=chosen.build)
        under_way = row.dispatched or row.status in FINAL
        waits_for = "" if under_way else await self._queue.enter(kind, row.id, row.concurrency_group, cause)
        log.info("job planned", kind=kind, job=row.id, pipeline=chosen.build.repository.pipeline, runs=chosen.runs.name)
        decision = "waiting" if waits_for else "started"
        return Begun(decision=decision, reason=waits_for or reason, kind=kind, job_id=row.id, build=chosen.build)
