"""Firings of triggers in, builds, releases and bots out: each is decided by itself, and the decision is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from estafette_common.bus import identity
from estafette_common.bus.delivery import PermanentError, TemporaryError
from estafette_common.bus.messages.events import DecisionMade, GitPushed
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.messages.triggers import Fire
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Kind
from estafette_common.triggers.model import BuildAction, ReleaseAction, RunAction

from manifest_planner import firing
from manifest_planner.decisions import Decisions
from manifest_planner.history import History
from manifest_planner.launching import Launcher, Wish
from manifest_planner.planner import Manifests, Planner
from manifest_planner.planning import BuildsFrom, Origin
from manifest_planner.runner import Begun

log = structlog.get_logger()

WAITS_FOR_PUSH = timedelta(minutes=1)
"""How long what a push fired waits for its build: where only the webhook was stored, there will be none."""

LOOK_AGAIN = 0.2
"""Seconds."""


class Actor:
    """Does what triggers say."""

    def __init__(
        self,
        planner: Planner,
        launcher: Launcher,
        history: History,
        decisions: Decisions,
        bus: Publisher,
        *,
        manifests: Manifests,
        builds_from: BuildsFrom,
        most_hops: int,
    ) -> None:
        self._planner = planner
        self._launcher = launcher
        self._history = history
        self._decisions = decisions
        self._bus = bus
        self._manifests = manifests
        self._builds_from = builds_from
        self._most_hops = most_hops

    async def on_fire(self, fire: Fire, cause: Cause) -> None:
        """Start what a trigger says, or record why it cannot be: that holds when the firing comes again."""
        if known := await self._decisions.without_job(replace(cause, id=fire.event_id), purpose=firing.purpose(fire)):
            await self._bus.publish(known, id=cause.derive("decision"))
            return
        if circle := firing.loop(fire, most_hops=self._most_hops):
            begun = Begun(decision="ignored", reason=circle)
        else:
            try:
                begun = await self._start(fire, cause)
            except PermanentError as error:
                begun = Begun(decision="ignored", reason=str(error))
        await self._decide(fire, begun, cause)

    async def _start(self, fire: Fire, cause: Cause) -> Begun:
        wish = Wish(repository=fire.repository, event=fire.event, reason=fire.reason, hops=fire.hops)
        match firing.trigger_of(fire).action:
            case BuildAction() as wanted:
                return await self._build(fire, wanted, cause)
            case ReleaseAction() as wanted:
                return await self._launcher.release(wish, wanted, cause)
            case RunAction() as wanted:
                return await self._launcher.bot(replace(wish, own=await self._own(fire, cause)), wanted, cause)

    async def _own(self, fire: Fire, cause: Cause) -> str:
        """Return the id that the build of the push has that fired; empty where no push to the pipeline did.

        A push and what it fires are handled at the same time: what asks for the newest build waits until that of the
        push is stored, or was decided against. Raises TemporaryError until then.
        """
        push = firing.push_of(fire)
        if not push:
            return ""
        is_young = datetime.now(UTC) - cause.time < WAITS_FOR_PUSH
        if is_young and not await self._decisions.made(replace(cause, id=push)):
            raise TemporaryError(f"push {push} is not decided on yet", delay=LOOK_AGAIN)
        return identity.job_id(fire.repository.pipeline, push)

    async def _build(self, fire: Fire, wanted: BuildAction, cause: Cause) -> Begun:
        repository, branch = await self._history.place(fire.repository), wanted.branch
        own = await self._own(fire, cause) if self._builds_from is BuildsFrom.LAST_BUILD else ""
        last = await self._history.current(repository, branch, own=own)
        installation = last.installation if last else None
        if self._builds_from is BuildsFrom.HEAD:
            revision, text = await self._manifests.head(repository, branch, installation), None
        else:
            there_is = last is not None and last.branch == branch
            revision, text = (last.revision, last.manifest) if last and there_is else (None, None)
        if revision is None:
            what = "no branch" if self._builds_from is BuildsFrom.HEAD else "no build of a branch"
            return Begun(decision="ignored", reason=f"there is {what} {branch}")
        push = GitPushed(  # under the name that the firing has: the id of the build comes from it
            repository=fire.repository, ref=f"refs/heads/{branch}", revision=revision, installation=installation
        )
        origin = Origin(reason=fire.reason, events=(fire.event,), hops=fire.hops)
        planned = await self._planner.plan(push, cause, origin, text=text)
        return Begun(
            decision=planned.decision,
            reason=planned.reason,
            kind=Kind.BUILD if planned.build else None,
            job_id=planned.build.id if planned.build else None,
            build=planned.build,
        )

    async def _decide(self, fire: Fire, begun: Begun, cause: Cause) -> None:
        """Record what became of a firing, under the event that fired the trigger."""
        reason = begun.reason if begun.decision == "started" else f"{begun.reason} (fired by {fire.reason})"
        made = DecisionMade(
            subject_kind="trigger",
            cause_id=fire.event_id,
            decision=begun.decision,
            reason=reason,
            repository=begun.build.repository if begun.build else fire.repository,
            ref=f"refs/heads/{begun.build.branch}" if begun.build else "",
            revision=begun.build.revision if begun.build else "",
            job_kind=begun.kind,
            job_id=begun.job_id,
        )
        await self._decisions.add(made, replace(cause, id=fire.event_id), purpose=firing.purpose(fire))
        await self._bus.publish(made, id=cause.derive("decision"))
        log.info(
            "trigger fired",
            pipeline=fire.repository.pipeline,
            fired_by=fire.event_id,
            decision=made.decision,
            reason=made.reason,
        )
