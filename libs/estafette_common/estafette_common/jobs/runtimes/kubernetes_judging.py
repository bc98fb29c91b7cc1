"""What pods and Jobs tell of an attempt: whether it waits, or is lost, and why. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from estafette_common.jobs.runtimes import Loss, Waiting
from estafette_common.jobs.runtimes.kubernetes_resources import memory_limit

Object = dict[str, Any]
"""An object as the API server has it."""

BAD_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
"""What a container waits for while its image cannot be had; reasons of the kubelet."""

NOT_A_TROUBLE = frozenset({"", "ContainerCreating", "PodInitializing"})

TERMINATION_SLACK = timedelta(seconds=15)
"""After the grace of a deleted pod in which a living node would have said that it ended."""

DEADLINE_SLACK = timedelta(seconds=2)
"""Kubernetes deletes the pod of a Job that is over its deadline before it says so of the Job."""

LONGEST_REASON = 500
"""Characters of what Kubernetes says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long pods may wait."""

    image: float
    """Seconds after it has a node that a pod may be without its image, or its container not be made."""
    scheduling: float
    """Seconds that a pod may be without a node."""
    node: float
    """Seconds that a pod that ran may be with a node that is not heard of."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt is at."""

    state: Waiting | Loss | None
    """Nothing: it runs, or ended as it should."""
    reason: str = ""
    look_again: datetime | None = None
    """When it will be at something else unless its pod tells before."""


FINE = Verdict(None)
DELETED = Verdict(Loss.DELETED, "its pod was deleted")


def judge_pod(pod: Object, *, patience: Patience, now: datetime) -> Verdict:
    """Return what a pod is at."""
    phase = pod["status"].get("phase", "Pending")
    if phase == "Succeeded":
        return FINE
    if phase == "Failed":
        return _ended(pod)
    if "deletionTimestamp" in pod["metadata"]:
        return _ending(pod, now)
    return _waiting(pod, patience, now) if phase == "Pending" else _running(pod, patience, now)


def judge_job(job: Object, pods: list[Object], *, hint: Verdict, patience: Patience, now: datetime) -> Verdict:
    """Return what an attempt is at, from its Job, its pods, and what was seen of a pod that may be gone.

    A Job that somebody deletes is not lost: it is to end.
    """
    if "deletionTimestamp" in job["metadata"] or condition(job, "Complete"):
        return FINE
    failed = condition(job, "Failed")
    if failed.get("reason") == "DeadlineExceeded" if failed else _is_over_deadline(job, now):
        return Verdict(Loss.DEADLINE, f"it did not end within {job['spec']['activeDeadlineSeconds']} s")
    verdicts = [judge_pod(pod, patience=patience, now=now) for pod in sorted(pods, key=_created)]
    losses = [each for each in (hint, *verdicts) if isinstance(each.state, Loss)]
    if losses:
        return losses[0]
    if failed:
        return Verdict(Loss.CRASHED, _short(f"Kubernetes ended it: {failed.get('message', failed.get('reason', ''))}"))
    return verdicts[-1] if verdicts else FINE


def condition(thing: Object, kind: str, status: str = "True") -> Object | None:
    """Return a condition of an object if it has a status."""
    found = thing["status"].get("conditions") or ()
    return next((each for each in found if each["type"] == kind and each["status"] == status), None)


def time_of(text: str) -> datetime:
    """Return a time as the API server writes it."""
    return datetime.fromisoformat(text)


def _ended(pod: Object) -> Verdict:
    status = pod["status"]
    reason, message = status.get("reason", ""), status.get("message", "")
    if reason == "DeadlineExceeded":
        return Verdict(Loss.DEADLINE, _short(message))
    if reason == "NodeLost":
        return _node_lost(pod)
    if reason:
        return Verdict(Loss.EVICTED, _short(f"its node {_node(pod)} let it go: {reason}: {message}".rstrip(": ")))
    ends = [
        each["state"]["terminated"] for each in status.get("containerStatuses", ()) if "terminated" in each["state"]
    ]
    end = ends[0] if ends else {}
    if end.get("reason") == "OOMKilled":
        return Verdict(
            Loss.OUT_OF_MEMORY, f"out of memory: its pod needs more than the {memory_limit(pod)} it may have"
        )
    if "deletionTimestamp" in pod["metadata"]:
        return DELETED
    said = f": {end['message'].strip()}" if end.get("message") else ""
    return Verdict(Loss.CRASHED, _short(f"its builder ended with code {end.get('exitCode', 'unknown')}{said}"))


def _running(pod: Object, patience: Patience, now: datetime) -> Verdict:
    # Not all such pods are deleted: where no node is heard of, Kubernetes takes itself for cut off, and waits.
    unheard_since = _unheard_since(pod)
    if unheard_since is None:
        return FINE
    given_up = unheard_since + timedelta(seconds=patience.node)
    return _node_lost(pod) if now >= given_up else Verdict(None, "", given_up)


def _ending(pod: Object, now: datetime) -> Verdict:
    """Return what a deleted pod is at: its node has to say that it ended, or is lost."""
    given_up = time_of(pod["metadata"]["deletionTimestamp"]) + TERMINATION_SLACK
    return _node_lost(pod) if _unheard_since(pod) or now >= given_up else Verdict(None, "", given_up)


def _unheard_since(pod: Object) -> datetime | None:
    """Return since when the node of a pod that runs is not heard of, if it is not.

    The control plane says of the pods of such a node that they are not ready; a living node says it of a pod of ours
    only together with the end of its container.
    """
    runs = any("running" in each["state"] for each in pod["status"].get("containerStatuses") or ())
    unready = condition(pod, "Ready", "False")
    return time_of(unready["lastTransitionTime"]) if runs and unready else None


def _node_lost(pod: Object) -> Verdict:
    return Verdict(Loss.NODE, f"its node {_node(pod)} is not heard of any more")


def _waiting(pod: Object, patience: Patience, now: datetime) -> Verdict:
    if (unscheduled := condition(pod, "PodScheduled", "False")) is not None:
        said = _short(f"no node can take it: {unscheduled.get('message', '')}".rstrip(": "))
        since = time_of(unscheduled.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])
        return _patiently(Waiting.UNSCHEDULABLE, Loss.UNSCHEDULABLE, said, since, patience.scheduling, now)
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None:
        return FINE
    since = time_of(scheduled.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])
    for each in pod["status"].get("containerStatuses") or ():
        waiting = each["state"].get("waiting", {})
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in BAD_IMAGE:
            said = _short(f"the image {each['image']} cannot be pulled: {message or reason}")
            return _patiently(Waiting.IMAGE, Loss.IMAGE, said, since, patience.image, now)
        if reason not in NOT_A_TROUBLE:
            said = _short(f"its container cannot be made: {reason}: {message}".rstrip(": "))
            return _patiently(Waiting.NOT_STARTED, Loss.NOT_STARTED, said, since, patience.image, now)
    return Verdict(Waiting.SCHEDULED, f"its pod is made ready on {_node(pod)}")


def _patiently(waiting: Waiting, loss: Loss, reason: str, since: datetime, seconds: float, now: datetime) -> Verdict:
    given_up = since + timedelta(seconds=seconds)
    return Verdict(loss, reason) if now >= given_up else Verdict(waiting, reason, given_up)


def _is_over_deadline(job: Object, now: datetime) -> bool:
    started = job["status"].get("startTime")
    if not started:
        return False
    return now >= time_of(started) + timedelta(seconds=job["spec"]["activeDeadlineSeconds"]) - DEADLINE_SLACK


def _created(pod: Object) -> str:
    return str(pod["metadata"]["creationTimestamp"])


def _node(pod: Object) -> str:
    return str(pod["spec"].get("nodeName", ""))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"
