"""When the namespaces of runs are scaled to zero, and when they are removed. Pure.

allocated → (the run ends) → scaled down → (what its policy waits for) → removed
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from estafette_common.bus.messages.events import CleaningAction as Do
from estafette_common.jobs.lifecycle import Status
from estafette_common.jobs.plan import After, RunNamespace

from hanging_job_cleaner.actions import Action
from hanging_job_cleaner.reconciling import BuildState, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """A namespace that was made for a run."""

    name: str
    uid: str
    kind: str
    job_id: str
    pipeline: str
    policy: RunNamespace
    created_at: datetime
    scaled_down: bool = False
    goes: bool = False
    """Whether it is being removed already."""


def dispose(
    namespaces: Iterable[Allocated],
    builds: Iterable[BuildState],
    *,
    reported: Mapping[str, datetime],
    now: datetime,
    limits: Limits,
) -> list[Action]:
    """Return what to do. `builds` are theirs; `reported` is when the end of some was told to a forge."""
    known = {(str(build.kind), build.id): build for build in builds}
    staying = [each for each in namespaces if not each.goes]
    ended = [each for each in staying if (build := known.get((each.kind, each.job_id))) and build.has_ended]
    actions = [
        _dispose(each, known[each.kind, each.job_id], reported.get(each.job_id), now, limits, newer=_newer(each, ended))
        for each in ended
    ]
    actions += [
        _action(Do.NAMESPACE_REMOVED, each, f"there is no {each.kind} of its id")
        for each in staying
        if (each.kind, each.job_id) not in known and now - each.created_at > timedelta(seconds=limits.grace)
    ]
    return [action for action in actions if action is not None]


def _dispose(
    namespace: Allocated,
    build: BuildState,
    reported_at: datetime | None,
    now: datetime,
    limits: Limits,
    *,
    newer: int,
) -> Action | None:
    """Return what to do with a namespace whose run ended."""
    policy, ended_at = namespace.policy, build.finished_at or build.last_sign
    if policy.after is not After.NEVER and now - ended_at > timedelta(seconds=limits.keep_namespaces):
        reason = f"its {build.kind} ended more than {int(limits.keep_namespaces)} s ago"
        return _action(Do.NAMESPACE_REMOVED, namespace, reason)
    met_at = _met_at(policy.after, build, ended_at, reported_at)
    if met_at is not None and newer >= policy.keep_last and now - met_at >= timedelta(seconds=policy.ttl):
        return _action(Do.NAMESPACE_REMOVED, namespace, f"its {build.kind} {build.status}; after: {policy.after}")
    if policy.scale_to_zero and not namespace.scaled_down:
        return _action(Do.NAMESPACE_SCALED_DOWN, namespace, f"its {build.kind} {build.status}")
    return None


def _met_at(after: After, build: BuildState, ended_at: datetime, reported_at: datetime | None) -> datetime | None:
    """Return when that was what a policy waits for, or nothing where it did not happen yet."""
    match after:
        case After.ALWAYS:
            return ended_at
        case After.SUCCESS:
            return ended_at if build.status is Status.SUCCEEDED else None
        case After.REPORTED:
            return reported_at
        case After.NEVER:
            return None


def _newer(namespace: Allocated, ended: list[Allocated]) -> int:
    """Return how many namespaces of ended runs of the same pipeline are newer."""
    place = (namespace.created_at, namespace.uid)
    return sum(each.pipeline == namespace.pipeline and (each.created_at, each.uid) > place for each in ended)


def _action(do: Do, namespace: Allocated, reason: str) -> Action:
    kind, job_id = namespace.kind, namespace.job_id
    return Action(do=do, kind=kind, job_id=job_id, name=namespace.name, which=namespace.uid, reason=reason)
