"""What to do where builds and jobs disagree. Pure. A build stands for a release and for the run of a bot, too."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from estafette_common.bus.messages.events import CleaningAction as Do
from estafette_common.jobs.lifecycle import FINAL, Kind, Status
from estafette_common.jobs.runtimes import JobState

from hanging_job_cleaner.actions import Action

PLANNER_PATIENCE = timedelta(hours=24)
"""How long the planner may take to note an end that was told."""

OVERTIME = timedelta(seconds=120)
"""How far a job may be over its time limit: its builder ends it at the limit, and a cluster this much later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds."""

    grace: float
    """After its last sign of life a build without a living job is lost."""
    keep_finished: float
    """How long the job of a build that ended is kept, for people to look at."""
    keep_namespaces: float
    """After the end of its run a namespace is removed though its policy waits; unless that waits for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildState:
    """A build, a release or a run of a bot as the database has it."""

    id: str
    kind: Kind = Kind.BUILD
    status: Status
    inserted_at: datetime
    waiting: bool = False
    """Whether it has no job yet, for others come first."""
    admitted_at: datetime | None = None
    dispatched_at: datetime | None = None
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    canceling_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def last_sign(self) -> datetime:
        """When something was last heard of it."""
        signs = (
            self.inserted_at,
            self.admitted_at,
            self.dispatched_at,
            self.started_at,
            self.heartbeat_at,
            self.canceling_at,
        )
        return max(sign for sign in signs if sign is not None)

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows any more."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The last that the stream of jobs holds of a job. It may be ahead of the database while the planner is away."""

    at: datetime
    is_end: bool
    number: int = 0
    """Its sequence in the stream."""
    is_handled: bool = False
    """Whether the planner had it; only of an end."""
    is_again: bool = False
    """Whether it repeats an end that was told before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a look found; see `reconcile`."""

    builds: Iterable[BuildState]
    """Those that are active, and those of any job."""
    jobs: Iterable[JobState]
    """All of the runtime."""
    told: Mapping[str, Told | None]
    """The last of each silent build in the stream."""
    timeouts: Mapping[str, float]
    """Seconds that each job under way may run, as far as that is known."""
    requests_waiting: bool
    """Whether something that leads to a job waits for the planner or the dispatcher."""
    now: datetime


def silent(builds: Iterable[BuildState], now: datetime, limits: Limits) -> list[BuildState]:
    """Return the active builds of which the database has no recent sign: those that may be lost."""
    grace = timedelta(seconds=limits.grace)
    active = [build for build in builds if not build.has_ended and not build.waiting]
    return [build for build in active if now - build.last_sign > grace]


def under_way(builds: Iterable[BuildState], now: datetime) -> list[BuildState]:
    """Return the builds that were given to a runtime long enough ago to be over a time limit."""
    return [build for build in builds if _began(build, now) and not build.has_ended]


def reconcile(found: Findings, limits: Limits) -> list[Action]:
    """Return what to do.

    While the planner is away the stream knows more than the database: what it holds is a sign of life too, and a build
    whose end is told there is not lost before `PLANNER_PATIENCE` is over. If the planner had that end and the build is
    still active, the end is told again, once.

    A build is not lost while requests wait, for the planner or the dispatcher, however long ago it began. A build whose
    job lives is never lost here, even without heartbeats: it may only be cut off from NATS, and ends by its time limit.
    """
    known = {(str(build.kind), build.id): build for build in found.builds}
    alive = {(job.kind, job.job_id) for job in found.jobs if job.alive}
    there = {(job.kind, job.job_id) for job in found.jobs}
    actions = [
        _silent(build, found, limits, has_job=place in there)
        for place, build in known.items()
        if place not in alive and silent((build,), found.now, limits)
    ]
    actions += [_overdue(build, found) for place, build in known.items() if place in alive]
    actions += [_remove(job, known.get((job.kind, job.job_id)), found.now, limits) for job in found.jobs]
    return [action for action in actions if action is not None]


def _silent(build: BuildState, found: Findings, limits: Limits, *, has_job: bool) -> Action | None:
    """Return what to do with an active build of which nothing is heard and no job lives."""
    lose = Action(do=Do.LOST, kind=build.kind, job_id=build.id, reason=_reason(build, found.now))
    told = found.told.get(build.id)
    if not has_job and build.status is Status.CANCELING:  # no request starts it any more
        return lose
    if not has_job and build.dispatched_at is None and build.started_at is None and found.requests_waiting:
        return None
    if told is None:
        return lose
    if found.now - told.at <= _patience(told, limits):
        return None
    return _tell_again(build, told, found.now) if told.is_handled and not told.is_again else lose


def _patience(told: Told, limits: Limits) -> timedelta:
    """Return how long the database may not show what was told."""
    return PLANNER_PATIENCE if told.is_end and not told.is_handled else timedelta(seconds=limits.grace)


def _tell_again(build: BuildState, told: Told, now: datetime) -> Action:
    return Action(
        do=Do.TOLD_AGAIN,
        kind=build.kind,
        job_id=build.id,
        which=str(told.number),
        reason=f"the end of its job was told {_seconds(now - told.at)} s ago, and the {build.kind} is {build.status}",
    )


def _overdue(build: BuildState, found: Findings) -> Action | None:
    """Return what to do with a build whose job lives: nothing, unless it runs longer than it may."""
    began, timeout = _began(build, found.now), found.timeouts.get(build.id)
    if began is None or timeout is None or build.status not in {Status.PENDING, Status.RUNNING}:
        return None
    if found.now - began <= timedelta(seconds=timeout) + OVERTIME:
        return None
    reason = f"it is under way for {_seconds(found.now - began)} s, and may run for {int(timeout)} s"
    return Action(do=Do.CANCELED, kind=build.kind, job_id=build.id, reason=reason)


def _began(build: BuildState, now: datetime) -> datetime | None:
    """Return when the build was started, or given to a runtime, if that is long ago."""
    began = build.started_at or build.dispatched_at
    return began if began and now - began > OVERTIME else None


def _reason(build: BuildState, now: datetime) -> str:
    quiet = _seconds(now - build.last_sign)
    return f"the {build.kind} is {build.status}, there is no job behind it, and nothing was heard of it for {quiet} s"


def _remove(job: JobState, build: BuildState | None, now: datetime, limits: Limits) -> Action | None:
    """Return what to do with a job for which its build has no use."""
    reason = _useless(job, build, now, limits)
    if not reason:
        return None
    which = job.created_at.isoformat()
    return Action(do=Do.JOB_REMOVED, kind=job.kind, job_id=job.job_id, name=job.name, which=which, reason=reason)


def _useless(job: JobState, build: BuildState | None, now: datetime, limits: Limits) -> str:
    """Return why nobody needs the job any more, or nothing where somebody does."""
    grace = timedelta(seconds=limits.grace)
    if build is None:
        return "there is nothing of its id" if now - job.created_at > grace else ""
    if build.status is Status.CANCELING and build.canceling_at is not None and now - build.canceling_at > grace:
        return f"its {build.kind} was canceled {_seconds(now - build.canceling_at)} s ago, and it did not end"
    ended = build.finished_at or build.last_sign
    if build.has_ended and now - ended > timedelta(seconds=limits.keep_finished):
        return f"its {build.kind} {build.status} {_seconds(now - ended)} s ago"
    return ""


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
