"""What is made of pods and Jobs as the API server shows them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from estafette_common.jobs.runtimes import Loss, Waiting
from estafette_common.jobs.runtimes.kubernetes_judging import DELETED, FINE, Patience, Verdict, judge_job, judge_pod

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PATIENCE = Patience(image=60.0, node=30.0, scheduling=600.0)
NO_NODE = "0/3 nodes are available: 3 Insufficient cpu."


def at(seconds: float) -> str:
    """Return a time after NOW as the API server writes it."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str, *, since: float = 0, **more: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": at(since), **more}


def pod(
    phase: str,
    *conditions: dict[str, Any],
    container: dict[str, Any] | None = None,
    ends_at: float | None = None,
    created: float = -100,
    **status: str,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "build-acme-shop-7-x", "creationTimestamp": at(created)}
    if ends_at is not None:
        metadata["deletionTimestamp"] = at(ends_at)
    containers = [{"image": "estafette/builder:1", "state": container}] if container else []
    return {
        "metadata": metadata,
        "spec": {"nodeName": "node-1", "containers": [{"resources": {"limits": {"memory": "8Gi"}}}]},
        "status": {"phase": phase, "conditions": list(conditions), "containerStatuses": containers, **status},
    }


def unscheduled(since: float) -> dict[str, Any]:
    return pod("Pending", condition("PodScheduled", "False", since=since, reason="Unschedulable", message=NO_NODE))


def pulling(since: float, reason: str = "ErrImagePull", message: str = "not found") -> dict[str, Any]:
    waiting = {"waiting": {"reason": reason, "message": message}}
    return pod("Pending", condition("PodScheduled", "True", since=since), container=waiting)


def ended(code: int, reason: str = "Error", **more: Any) -> dict[str, Any]:
    return pod("Failed", container={"terminated": {"exitCode": code, "reason": reason}}, **more)


RUNNING = pod("Running", condition("Ready", "True"), container={"running": {}})


def judged(seen: dict[str, Any]) -> Verdict:
    return judge_pod(seen, patience=PATIENCE, now=NOW)


def job(*conditions: dict[str, Any], started: float = -100, deleted: bool = False) -> dict[str, Any]:
    metadata = {"name": "build-acme-shop-7"} | ({"deletionTimestamp": at(0)} if deleted else {})
    status = {"startTime": at(started), "conditions": list(conditions)}
    return {"metadata": metadata, "spec": {"activeDeadlineSeconds": 1000}, "status": status}


def judged_job(seen: dict[str, Any], *pods: dict[str, Any], hint: Verdict = FINE) -> Verdict:
    return judge_job(seen, list(pods), hint=hint, patience=PATIENCE, now=NOW)


def test_a_pod_that_runs_or_succeeded_is_fine() -> None:
    assert judged(RUNNING) == judged(pod("Succeeded")) == FINE


def test_a_pod_without_a_node_waits_and_says_why_until_patience_ends() -> None:
    expected = Verdict(Waiting.UNSCHEDULABLE, f"no node can take it: {NO_NODE}", NOW + timedelta(seconds=1))
    assert judged(unscheduled(-599)) == expected
    assert judged(unscheduled(-601)) == Verdict(Loss.UNSCHEDULABLE, f"no node can take it: {NO_NODE}")


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled_is_waited_for_from_when_the_pod_had_a_node(reason: str) -> None:
    said = "the image estafette/builder:1 cannot be pulled: not found"
    assert judged(pulling(-59, reason)) == Verdict(Waiting.IMAGE, said, NOW + timedelta(seconds=1))
    assert judged(pulling(-61, reason)) == Verdict(Loss.IMAGE, said)


def test_a_container_that_cannot_be_made_waits_too() -> None:
    found = judged(pulling(0, "CreateContainerConfigError", 'secret "x" not found'))

    assert found.state is Waiting.NOT_STARTED
    assert found.reason == 'its container cannot be made: CreateContainerConfigError: secret "x" not found'


def test_a_pod_with_a_node_is_made_ready_there() -> None:
    assert judged(pulling(0, "ContainerCreating")) == Verdict(Waiting.SCHEDULED, "its pod is made ready on node-1")


@pytest.mark.parametrize(
    ("seen", "loss"),
    [
        (pod("Failed", reason="Evicted", message="The node was low on resource: memory."), Loss.EVICTED),
        (pod("Failed", reason="Shutdown", message="Node is shutting down"), Loss.EVICTED),
        (pod("Failed", reason="NodeLost"), Loss.NODE),
        (ended(137, "OOMKilled"), Loss.OUT_OF_MEMORY),
        (ended(75), Loss.CRASHED),
        (ended(75, ends_at=100), Loss.DELETED),
        (pod("Failed", reason="DeadlineExceeded"), Loss.DEADLINE),
    ],
)
def test_how_a_pod_ended_says_how_its_attempt_was_lost(seen: dict[str, Any], loss: Loss) -> None:
    assert judged(seen).state is loss


def test_the_reason_names_node_and_cause() -> None:
    evicted = judged(pod("Failed", reason="Evicted", message="The node was low on resource: memory."))
    assert evicted.reason == "its node node-1 let it go: Evicted: The node was low on resource: memory."
    assert judged(ended(137, "OOMKilled")).reason == "out of memory: its pod needs more than the 8Gi it may have"


def test_a_deleted_pod_has_its_time_to_end_and_then_its_node_is_silent() -> None:
    assert judged(pod("Running", condition("Ready", "True"), container={"running": {}}, ends_at=120)) == Verdict(
        None, "", NOW + timedelta(seconds=135)
    )
    assert judged(pod("Running", condition("Ready", "True"), container={"running": {}}, ends_at=-16)).state is Loss.NODE


def test_a_pod_that_runs_and_is_not_ready_has_a_silent_node_and_is_lost_after_patience() -> None:
    for since, expected in (
        (-29, Verdict(None, "", NOW + timedelta(seconds=1))),
        (-31, Verdict(Loss.NODE, "its node node-1 is not heard of any more")),
    ):
        seen = pod("Running", condition("Ready", "False", since=since), container={"running": {}})
        assert judged(seen) == expected


def test_a_deleted_pod_that_runs_and_is_not_ready_has_lost_its_node() -> None:
    seen = pod("Running", condition("Ready", "False"), container={"running": {}}, ends_at=120)
    assert judged(seen) == Verdict(Loss.NODE, "its node node-1 is not heard of any more")


def test_a_deleted_pod_whose_container_ended_is_only_ending() -> None:
    seen = pod("Running", condition("Ready", "False"), container={"terminated": {"exitCode": 75}}, ends_at=120)
    assert judged(seen).state is None


def test_a_job_that_somebody_deletes_or_that_is_complete_is_not_lost() -> None:
    assert judged_job(job(deleted=True), ended(75), hint=DELETED) == FINE
    assert judged_job(job(condition("Complete", "True")), hint=DELETED) == FINE


def test_a_pod_that_was_seen_to_go_is_lost_although_another_took_its_place() -> None:
    assert judged_job(job(), RUNNING, hint=DELETED) == DELETED


def test_the_first_pod_says_how_an_attempt_was_lost() -> None:
    first, second = ended(137, "OOMKilled", created=-50), ended(75, created=-10)
    assert judged_job(job(condition("Failed", "True")), second, first).state is Loss.OUT_OF_MEMORY


def test_a_job_that_failed_without_a_trace_of_its_pod_crashed() -> None:
    failed = condition("Failed", "True", reason="BackoffLimitExceeded", message="Job has reached the limit")
    assert judged_job(job(failed)) == Verdict(Loss.CRASHED, "Kubernetes ended it: Job has reached the limit")


def test_a_job_over_its_deadline_is_that_and_nothing_else() -> None:
    expected = Verdict(Loss.DEADLINE, "it did not end within 1000 s")
    assert judged_job(job(condition("Failed", "True", reason="DeadlineExceeded")), hint=DELETED) == expected
    assert judged_job(job(started=-999), hint=DELETED) == expected


def test_a_job_that_failed_long_ago_is_not_over_its_deadline() -> None:
    assert judged_job(job(condition("Failed", "True"), started=-5000), ended(75)).state is Loss.CRASHED
