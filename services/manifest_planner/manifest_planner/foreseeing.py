"""What an event would lead to if a manifest were in force: the decisions of a server, with nothing done. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from estafette_common.bus import identity
from estafette_common.bus.messages.events import GitPushed
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import PlannedStage, Repository
from estafette_common.jobs.stages import planned
from estafette_common.manifest import model
from estafette_common.manifest.findings import Finding
from estafette_common.manifest.reading import check
from estafette_common.triggers.event_documents import KINDS
from estafette_common.triggers.events import Event, PipelineEvent, ReleaseEvent
from estafette_common.triggers.matching import matches
from estafette_common.triggers.model import BuildAction, ReleaseAction, RunAction, Trigger, key_of

from manifest_planner import firing, planning, releasing
from manifest_planner.concurrency import Rules
from manifest_planner.declared import declared
from manifest_planner.firing import Candidate
from manifest_planner.planning import Ignored
from manifest_planner.trigger_keys import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known of a pipeline."""

    number: int = 1
    """Of its next build."""
    latest: str = ""
    """Version of the newest build that succeeded; empty: there is none."""
    live: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Versions by target and action."""
    others: tuple[Candidate, ...] = ()
    """Triggers of other pipelines that may wait for the events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that would begin."""

    kind: Kind
    version: str
    stages: tuple[PlannedStage, ...]
    branch: str = ""
    runs: str = ""
    """The target of a release, or the bot."""
    action: str = ""
    group: str = ""
    """Of jobs for which it may have to wait; empty: for none."""
    policy: str = ""
    """What jobs of the group do while others are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """A decision, and the job that would begin."""

    depth: int
    """How many jobs would have to go before."""
    about: str
    """`push`, or the trigger: `pipeline trigger of release tooling`"""
    decision: str
    """`started`, `ignored` or `rejected`; of a trigger also `not fired`, and `fired` where it is another pipeline's."""
    reason: str
    job: Job | None = None


@dataclass(frozen=True, slots=True)
class _Rejected:
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _After:
    """What went before a decision."""

    depth: int = 0
    hops: int = 0


class Foresight:
    """Follows an event through the decisions of the planner; every job is taken to succeed."""

    def __init__(self, manifest: str, place: Repository, state: State, *, most_hops: int) -> None:
        checked = check(manifest)
        self._place = place
        self._state = state
        self._most_hops = most_hops
        self._manifest = checked.manifest
        self._obstacles: tuple[Finding, ...] = planning.obstacles(checked)
        self._triggers = declared(checked.manifest, place.pipeline).triggers if checked.manifest else ()

    def push(self, push: GitPushed) -> Iterator[Foreseen]:
        """Yield what a push would be for the pipeline, and what follows; nothing where it is to another one."""
        if push.repository != self._place:
            return
        job = planning.ignored_before_reading(push) or self._build(push.branch or "", push.revision)
        yield from self._begin("push", f"push to {push.branch}", job, _After())

    def event(self, event: Event, *, event_id: str) -> Iterator[Foreseen]:
        """Yield what becomes of each trigger that waits for such events, and what follows."""
        yield from self._match(event, event_id, _After())

    def _match(self, event: Event, event_id: str, after: _After, *, quiet: bool = False) -> Iterator[Foreseen]:
        """Match the triggers; where it is `quiet`, nothing is said of those that do not fire."""
        for trigger in self._triggers:
            if key_of(trigger.filter) == KINDS[type(event)]:
                yield from self._trigger(trigger, event, event_id, after, quiet=quiet)
        for other in self._state.others:
            if key_of(other.trigger.filter) == KINDS[type(event)]:
                yield from self._other(other, event, event_id, after)

    def _other(self, other: Candidate, event: Event, event_id: str, after: _After) -> Iterator[Foreseen]:
        """Yield what becomes of a trigger of another pipeline; what that does then is for its own manifest to say."""
        fire = firing.fired(other, event, event_id=event_id, hops=after.hops)
        if fire is not None:
            circle = firing.loop(fire, most_hops=self._most_hops)
            what = f"{_what(other.trigger)} of {other.repository.pipeline}"
            yield Foreseen(
                depth=after.depth,
                about=f"{key_of(other.trigger.filter)} trigger of {what}",
                decision="ignored" if circle else "fired",
                reason=circle or fire.reason,
            )

    def _trigger(
        self, trigger: Trigger, event: Event, event_id: str, after: _After, *, quiet: bool
    ) -> Iterator[Foreseen]:
        about = f"{key_of(trigger.filter)} trigger of {_what(trigger)}"
        candidate = Candidate(self._place, trigger, digest(trigger))
        fire = firing.fired(candidate, event, event_id=event_id, hops=after.hops)
        if fire is not None:
            circle = firing.loop(fire, most_hops=self._most_hops)
            job = Ignored(circle) if circle else self._job(trigger, fire.event)
            yield from self._begin(about, fire.reason, job, replace(after, hops=fire.hops))
        elif not quiet:
            reason = matches(trigger, event).reason
            yield Foreseen(depth=after.depth, about=about, decision="not fired", reason=reason)

    def _job(self, trigger: Trigger, event: Mapping[str, Any]) -> Job | Ignored | _Rejected:
        match trigger.action:
            case BuildAction(branch=branch):
                return self._build(branch, "")
            case ReleaseAction() as wanted:
                return self._release(wanted, event)
            case RunAction(bot=name):
                return self._bot(name)

    def _build(self, branch: str, revision: str) -> Job | _Rejected:
        if self._obstacles or self._manifest is None:
            return _Rejected(str(self._obstacles[0]))
        number = self._state.number
        version = planning.version_of(self._manifest, counter=number, branch=branch, revision=revision).version
        stages = planned(self._manifest.stages)
        return self._placed(Job(kind=Kind.BUILD, version=version, branch=branch, stages=stages))

    def _release(self, wanted: ReleaseAction, event: Mapping[str, Any]) -> Job | Ignored:
        target, action = wanted.target, wanted.action
        current = self._state.live.get((target, action), "")
        version = releasing.version(wanted.version, event, releasing.Known(latest=self._state.latest, current=current))
        runs = releasing.target(self._manifest or model.Manifest(), target, action)
        if isinstance(version, Ignored):
            return version
        if isinstance(runs, Ignored):
            return runs
        stages = planned(runs.stages)
        job = Job(kind=Kind.RELEASE, version=version, runs=target, action=action, stages=stages)
        return self._placed(job)

    def _bot(self, name: str) -> Job | Ignored:
        runs = releasing.bot(self._manifest or model.Manifest(), name)
        if isinstance(runs, Ignored):
            return runs
        return self._placed(Job(kind=Kind.BOT, version=self._state.latest, runs=name, stages=planned(runs.stages)))

    def _placed(self, job: Job) -> Job:
        """Return a job with its place among those that it may have to wait for."""
        manifest, pipeline = self._manifest or model.Manifest(), self._place.pipeline
        group, policy = Rules().place_of(manifest, pipeline, job.branch, job.kind, runs=job.runs)
        return replace(job, group=group, policy=policy)

    def _begin(self, about: str, reason: str, job: Job | Ignored | _Rejected, after: _After) -> Iterator[Foreseen]:
        match job:
            case Ignored(why_not):
                yield Foreseen(depth=after.depth, about=about, decision="ignored", reason=why_not)
            case _Rejected(why_not):
                yield Foreseen(depth=after.depth, about=about, decision="rejected", reason=why_not)
            case Job():
                yield Foreseen(depth=after.depth, about=about, decision="started", reason=reason, job=job)
                yield from self._follow(job, replace(after, depth=after.depth + 1))

    def _follow(self, job: Job, after: _After) -> Iterator[Foreseen]:
        """Yield what the start and the end of a job lead to."""
        if job.kind is Kind.BUILD:
            self._state = replace(self._state, number=self._state.number + 1)
        if job.kind is not Kind.BOT:  # as in the reference, no trigger waits for bots
            event_id = identity.derive(job.version, job.kind)
            yield from self._match(self._told(job, "started", "pending"), event_id, after, quiet=True)
            self._succeed(job)
            yield from self._match(self._told(job, "finished", "succeeded"), event_id, after)

    def _succeed(self, job: Job) -> None:
        if job.kind is Kind.BUILD:
            self._state = replace(self._state, latest=job.version)
        else:
            self._state = replace(self._state, live={**self._state.live, (job.runs, job.action): job.version})

    def _told(self, job: Job, event: str, status: str) -> Event:
        place = {"repo_source": self._place.source, "repo_owner": self._place.owner, "repo_name": self._place.name}
        if job.kind is Kind.BUILD:
            return PipelineEvent(build_version=job.version, repo_branch=job.branch, status=status, event=event, **place)
        return ReleaseEvent(release_version=job.version, target=job.runs, status=status, event=event, **place)


def _what(trigger: Trigger) -> str:
    match trigger.action:
        case BuildAction(branch=branch):
            return f"builds of {branch}"
        case ReleaseAction(target=target, action=action):
            return f"release {target} {action}".rstrip()
        case RunAction(bot=bot):
            return f"bot {bot}"
