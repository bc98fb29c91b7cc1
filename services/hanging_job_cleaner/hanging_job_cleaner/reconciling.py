"""What to do where builds and jobs disagree. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from estafette_common.jobs.lifecycle import FINAL, Kind, Status
from estafette_common.jobs.runtimes import JobState

PLANNER_PATIENCE = timedelta(hours=24)
"""How long the planner may take to note an end that was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds."""

    grace: float
    """After its last sign of life a build without a living job is lost."""
    keep_finished: float
    """How long the job of a build that ended is kept, for people to look at."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The last that the stream of jobs holds of a job. It may be ahead of the database while the planner is away."""

    at: datetime
    is_end: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A build, release or bot has no job any more."""

    build_id: str
    reason: str
    kind: Kind = Kind.BUILD


@dataclass(frozen=True, slots=True)
class Remove:
    """A job has no build any more that needs it."""

    name: str
    reason: str


def silent(builds: Iterable[BuildState], now: datetime, limits: Limits) -> list[BuildState]:
    """Return the active builds of which the database has no recent sign: those that may be lost."""
    grace = timedelta(seconds=limits.grace)
    active = [build for build in builds if build.status not in FINAL and not build.waiting]
    return [build for build in active if now - build.last_sign > grace]


def reconcile(
    builds: Iterable[BuildState],
    jobs: Iterable[JobState],
    *,
    told: Mapping[str, Told | None],
    requests_waiting: bool,
    now: datetime,
    limits: Limits,
) -> list[Lost | Remove]:
    """Return what to do. `builds` are the active ones and those of any job; `jobs` are all of the runtime.

    `told` is the last of each silent build in the stream. While the planner is away the stream knows more than the
    database: what it holds is a sign of life too, and a build whose end is told there is not lost before
    `PLANNER_PATIENCE` is over.

    A build is not lost while requests wait, for the planner or the dispatcher, however long ago it began. A build whose
    job lives is never lost here, even without heartbeats: it may only be cut off from NATS, and ends by its time limit.
    """
    known = {(str(build.kind), build.id): build for build in builds}
    found = {(job.kind, job.job_id): job for job in jobs}
    lost = [
        Lost(build.id, _reason(build, now), build.kind)
        for build in silent(known.values(), now, limits)
        if _is_lost(
            build,
            found.get((build.kind, build.id)),
            told.get(build.id),
            requests_waiting=requests_waiting,
            now=now,
            limits=limits,
        )
    ]
    return lost + [action for place, job in found.items() if (action := _remove(job, known.get(place), now, limits))]


def _is_lost(
    build: BuildState,
    job: JobState | None,
    told: Told | None,
    *,
    requests_waiting: bool,
    now: datetime,
    limits: Limits,
) -> bool:
    if job is not None and job.alive:
        return False
    if job is None and build.status is Status.CANCELING:  # no request starts it any more
        return True
    if job is None and build.dispatched_at is None and build.started_at is None and requests_waiting:
        return False
    if told is None:
        return True
    return now - told.at > (PLANNER_PATIENCE if told.is_end else timedelta(seconds=limits.grace))


def _reason(build: BuildState, now: datetime) -> str:
    silent = int((now - build.last_sign).total_seconds())
    return f"the {build.kind} is {build.status}, there is no job behind it, and nothing was heard of it for {silent} s"


def _remove(job: JobState, build: BuildState | None, now: datetime, limits: Limits) -> Remove | None:
    if build is None:
        is_old = now - job.created_at > timedelta(seconds=limits.grace + limits.keep_finished)
        return Remove(job.name, "there is nothing of its id") if is_old else None
    grace = timedelta(seconds=limits.grace)
    if build.status is Status.CANCELING and build.canceling_at is not None and now - build.canceling_at > grace:
        return Remove(job.name, "its build was canceled, and it did not end")
    ended = build.finished_at or build.last_sign
    if build.status in FINAL and now - ended > timedelta(seconds=limits.keep_finished):
        return Remove(job.name, f"its build {build.status}")
    return None
