"""Pushes in, builds out. Effect first, then publish; the bus acknowledges last."""

from dataclasses import dataclass
from typing import Protocol

import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.events import DecisionMade, GitPushed, PipelineChanged, PipelineEvent
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import FINAL, Kind, Outcome, Status
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.model import Manifest
from estafette_common.manifest.reading import check, read

from manifest_planner import planning
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.concurrency import Rules
from manifest_planner.control import EVERYTHING, Control, why_not_built
from manifest_planner.decisions import Decisions
from manifest_planner.declared import declared
from manifest_planner.planning import BuildRow, Origin
from manifest_planner.queueing import Queue
from manifest_planner.sealing import Sealer
from manifest_planner.telling import control_log

log = structlog.get_logger()

VALIDATE_MANIFEST = "validate-manifest"
VALIDATE_SECRETS = "validate-secrets"


class Manifests(Protocol):
    """Where manifests are read."""

    async def read(self, push: GitPushed) -> str | None:
        """Return the manifest at the pushed revision, or nothing when there is none."""
        ...

    async def head(self, repository: Repository, branch: str, installation: int | None) -> str | None:
        """Return the revision that a branch points to, or nothing when there is none of this name."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """What became of the wish for a build: `started`, `waiting`, `ignored`, `refused` or `rejected`, and why."""

    decision: str
    reason: str
    build: BuildRow | None = None


class Planner:
    """Makes builds of revisions."""

    def __init__(
        self,
        manifests: Manifests,
        builds: Builds,
        decisions: Decisions,
        sealer: Sealer,
        queue: Queue,
        bus: Publisher,
        *,
        rules: Rules,
        control: Control = EVERYTHING,
    ) -> None:
        self._manifests = manifests
        self._builds = builds
        self._decisions = decisions
        self._sealer = sealer
        self._queue = queue
        self._bus = bus
        self._rules = rules
        self._control = control

    async def on_push(self, push: GitPushed, cause: Cause) -> None:
        """Plan a build of the pushed revision, or record why there is none."""
        await self.decide(push, cause, await self.plan(push, cause, planning.origin_of(push, heard_at=cause.time)))

    async def plan(self, push: GitPushed, cause: Cause, origin: Origin, *, text: str | None = None) -> Planned:
        """Plan a build of a revision; return what became of it. The same cause gives the same build.

        `text` is the manifest, where it is not to be read. Raises RefusedError as `Builds.add` does.
        """
        build_id = identity.job_id(push.repository.pipeline, cause.id)
        known = await self._builds.get(build_id)
        if known is not None:
            return await self._again(known, push, cause, origin)
        if ignored := planning.ignored_before_reading(push):
            return Planned("ignored", ignored.reason)
        if refusal := why_not_built(self._control, push.repository):
            return Planned("refused", refusal)
        text = text if text is not None else await self._manifests.read(push)
        if text is None:
            return Planned("ignored", planning.no_manifest(push).reason)
        return await self._build(build_id, push, text, cause, origin)

    async def _again(self, known: BuildRow, push: GitPushed, cause: Cause, origin: Origin) -> Planned:
        """Go on where a crash may have ended the first try; what was stored decides."""
        if known.outcome == Outcome.REJECTED:
            step, lines = self._rejection(push, known.manifest) or (VALIDATE_MANIFEST, [known.reason])
            return await self._reject(known, push, cause, step, lines)
        if known.dispatched or known.status in FINAL:
            return await self._tell_again(known, push, cause, origin)
        return await self._build(known.id, push, known.manifest, cause, origin)

    def _rejection(self, push: GitPushed, text: str) -> tuple[str, list[str]] | None:
        """Return the step that fails and what it says, or nothing when the manifest can be built."""
        obstacles = planning.obstacles(check(text))
        if obstacles:
            return VALIDATE_MANIFEST, [str(finding) for finding in obstacles]
        wrong = self._sealer.unusable(text, pipeline=push.repository.pipeline)
        return (VALIDATE_SECRETS, wrong) if wrong else None

    async def _build(self, build_id: str, push: GitPushed, text: str, cause: Cause, origin: Origin) -> Planned:
        if rejection := self._rejection(push, text):
            step, lines = rejection
            build = await self._add(build_id, push, text, None, origin, rejected=lines[0])
            return await self._reject(build, push, cause, step, lines)
        manifest = read(text)
        build = await self._add(build_id, push, text, manifest, origin)
        waits_for = await self._queue.enter(Kind.BUILD, build.id, build.concurrency_group, cause)
        await self._bus.publish(_changed(build, push, PipelineEvent.STARTED), id=cause.derive(identity.STARTED))
        log.info("build planned", pipeline=push.repository.pipeline, build=build.id, version=build.version)
        if waits_for:
            return Planned("waiting", waits_for, build)
        return Planned("started", origin.reason, build)

    async def _add(
        self,
        build_id: str,
        push: GitPushed,
        text: str,
        manifest: Manifest | None,
        origin: Origin,
        *,
        rejected: str = "",
    ) -> BuildRow:
        branch = push.branch or ""

        def version(counter: int) -> str:
            return planning.version_of(manifest, counter=counter, branch=branch, revision=push.revision).version

        group, policy = self._rules.place_of(manifest, push.repository.pipeline, branch) if manifest else ("", "")
        new = NewBuild(
            id=build_id,
            push=push,
            branch=branch,
            version=version,
            declared=declared(manifest, push.repository.pipeline) if manifest is not None else None,
            events=origin.events,
            hops=origin.hops,
            manifest=text,
            heard_at=origin.heard_at,
            rejected=rejected,
            concurrency_group=group,
            concurrency_policy=policy,
            repeats=origin.repeats,
            resumes=origin.repeats.id if origin.repeats and origin.resumes else "",
        )
        return await self._builds.add(new)

    async def _reject(self, build: BuildRow, push: GitPushed, cause: Cause, step: str, lines: list[str]) -> Planned:
        chunk = control_log(build.id, step, lines, outcome=Outcome.REJECTED, at=cause.time)
        await self._bus.publish(chunk, id=chunk.id)
        reason = lines[0]
        pending = _changed(build, push, PipelineEvent.STARTED)
        finished = _changed(build, push, PipelineEvent.FINISHED, outcome=Outcome.REJECTED, reason=reason)
        await self._bus.publish(pending, id=cause.derive(identity.STARTED))
        await self._bus.publish(finished, id=cause.derive(identity.FINISHED))
        log.info("build rejected", pipeline=push.repository.pipeline, build=build.id, step=step)
        return Planned("rejected", reason, build)

    async def _tell_again(self, build: BuildRow, push: GitPushed, cause: Cause, origin: Origin) -> Planned:
        """Tell what may not have been told before a crash. The job is under way or over, and not requested again."""
        await self._bus.publish(_changed(build, push, PipelineEvent.STARTED), id=cause.derive(identity.STARTED))
        log.info("build was planned before", pipeline=push.repository.pipeline, build=build.id)
        return Planned("started", origin.reason, build)

    async def decide(self, push: GitPushed, cause: Cause, planned: Planned, *, about: str = "push") -> None:
        """Record and tell what became of a push, or of another wish for a build of a revision."""
        build_id = planned.build.id if planned.build else None
        made = DecisionMade(
            subject_kind=about,
            cause_id=cause.id,
            decision=planned.decision,
            reason=planned.reason,
            repository=planned.build.repository if planned.build else push.repository,
            ref=push.ref,
            revision=push.revision,
            job_kind=Kind.BUILD if build_id else None,
            job_id=build_id,
        )
        await self._decisions.add(made, cause)
        await self._bus.publish(made, id=cause.derive("decision"))
        log.info("decided", about=about, pipeline=push.repository.pipeline, decision=made.decision, reason=made.reason)


def _changed(
    build: BuildRow, push: GitPushed, event: PipelineEvent, *, outcome: Outcome | None = None, reason: str = ""
) -> PipelineChanged:
    return PipelineChanged(
        event=event,
        build_id=build.id,
        repository=build.repository,
        branch=build.branch,
        revision=build.revision,
        version=build.version,
        status=outcome.status if outcome else Status.PENDING,
        outcome=outcome,
        reason=reason,
        installation=push.installation,
        hops=build.hops,
    )
