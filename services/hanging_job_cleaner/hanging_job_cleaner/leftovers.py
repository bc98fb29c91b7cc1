"""What to do with what jobs left in a cluster, and with jobs that lack something there. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from estafette_common.bus.messages.events import CleaningAction as Do

from hanging_job_cleaner.actions import Action
from hanging_job_cleaner.reconciling import BuildState, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A Job, or a Secret or pod of one."""

    what: str
    """`Job`, `Secret` or `Pod`"""
    name: str
    uid: str
    kind: str
    """Of the job that it is labelled with."""
    job_id: str
    owners: frozenset[str] = frozenset()
    """Uids of what it dies with."""
    created_at: datetime
    goes: bool = False
    """Whether it is being removed already."""


def sweep(things: Iterable[Thing], builds: Iterable[BuildState], now: datetime, limits: Limits) -> list[Action]:
    """Return what to do. `builds` are those that the things are labelled with, as far as there are any.

    What belongs to no Job is removed unless its build is active: a pod without its Job may still do its work, and is
    heard of. A build that is not heard of is lost first.
    """
    young = now - timedelta(seconds=limits.grace)
    known = {(str(build.kind), build.id): build for build in builds}
    jobs = {thing.uid: thing for thing in things if thing.what == "Job"}
    parts = [thing for thing in things if thing.what != "Job"]
    supplied = {owner for thing in parts if thing.what == "Secret" for owner in thing.owners}
    old = [thing for thing in parts if thing.created_at < young and not thing.goes]
    orphans = [
        _remove(thing, Do.LEFTOVER_REMOVED, f"there is no Job that the {thing.what} belongs to")
        for thing in old
        if not thing.owners & jobs.keys() and not _is_active(known.get((thing.kind, thing.job_id)))
    ]
    helpless = [
        _remove(job, Do.JOB_REMOVED, "its Secret is gone, so no builder of it can start")
        for job in jobs.values()
        if job.created_at < young
        and not job.goes
        and job.uid not in supplied
        and _waits(known.get((job.kind, job.job_id)))
    ]
    return orphans + helpless


def _remove(thing: Thing, do: Do, reason: str) -> Action:
    name = thing.name if do is Do.JOB_REMOVED else f"{thing.what} {thing.name}"
    return Action(do=do, kind=thing.kind, job_id=thing.job_id, name=name, which=thing.uid, reason=reason)


def _is_active(build: BuildState | None) -> bool:
    return build is not None and not build.has_ended


def _waits(build: BuildState | None) -> bool:
    """Return whether a build is to begin yet."""
    return build is not None and _is_active(build) and build.started_at is None and build.heartbeat_at is None
