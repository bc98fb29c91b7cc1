"""The namespaces of runs in the cluster: which there are, and how they end."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from estafette_common.jobs.plan import RunNamespace
from estafette_common.jobs.runtimes import RuntimeUnavailableError
from estafette_common.jobs.runtimes.kubernetes_api import ApiError, Object
from estafette_common.jobs.runtimes.kubernetes_objects import JOB_ID_LABEL, KIND_LABEL
from estafette_common.jobs.runtimes.namespaces import DISPOSAL, HOME_LABEL, NAMESPACES, PIPELINE
from estafette_common.jobs.runtimes.namespaces_api import ONLY_METADATA, ClusterApi
from pydantic import ValidationError

from hanging_job_cleaner.disposing import Allocated

log = structlog.get_logger()

SCALED_DOWN = "estafette.io/scaled-down-at"
"""Annotation: when what ran in a namespace was ended."""

NO_REPLICAS: Object = {"spec": {"replicas": 0}}
NOWHERE: Object = {"spec": {"template": {"spec": {"nodeSelector": {"estafette.io/scaled-down": "true"}}}}}

ENDED: Mapping[str, Object] = {
    "/apis/batch/v1beta1/namespaces/{namespace}/cronjobs": {"spec": {"suspend": True}},
    "/apis/batch/v1/namespaces/{namespace}/cronjobs": {"spec": {"suspend": True}},
    "/apis/apps/v1/namespaces/{namespace}/deployments": NO_REPLICAS,
    "/apis/apps/v1/namespaces/{namespace}/statefulsets": NO_REPLICAS,
    "/apis/apps/v1/namespaces/{namespace}/replicasets": NO_REPLICAS,
    "/api/v1/namespaces/{namespace}/replicationcontrollers": NO_REPLICAS,
    "/apis/apps/v1/namespaces/{namespace}/daemonsets": NOWHERE,
    "/apis/batch/v1/namespaces/{namespace}/jobs": {"spec": {"parallelism": 0}},
    "/api/v1/namespaces/{namespace}/pods": {"spec": {"activeDeadlineSeconds": 1}},
}
"""How each kind of object is changed so that nothing of it runs and it is still there to be looked at, in this order.

What belongs to another object is left to that; a pod of its own is ended by a deadline.
"""

OVER = {"Succeeded", "Failed"}


class Namespaces:
    """Reads, scales down and removes the namespaces of the runs of one installation."""

    def __init__(self, api: ClusterApi, home: str) -> None:
        """Take the namespace of the jobs, by which an installation knows what is its own."""
        self._api = api
        self._home = home

    async def allocated(self) -> list[Allocated]:
        """Return the namespaces; one that cannot be understood is left alone. Raises RuntimeUnavailableError."""
        selector = f"createdBy=estafette,{HOME_LABEL}={self._home},{KIND_LABEL},{JOB_ID_LABEL}"
        try:
            items = await self._api.items(NAMESPACES, selector, wanted=ONLY_METADATA)
        except ApiError as error:
            raise _unavailable(error) from None
        found = [_allocated(item["metadata"]) for item in items]
        return [each for each in found if each is not None]

    async def scale_down(self, name: str) -> None:
        """End what runs in a namespace, and keep the objects. Raises RuntimeUnavailableError."""
        try:
            for path, change in ENDED.items():
                await self._change(path.format(namespace=name), change)
            told = {"metadata": {"annotations": {SCALED_DOWN: datetime.now(UTC).isoformat()}}}
            await self._api.patch(f"{NAMESPACES}/{name}", told)
        except ApiError as error:
            raise _unavailable(error) from None

    async def remove(self, name: str, *, uid: str) -> None:
        """Remove a namespace with all in it, unless it is another one by now. Raises RuntimeUnavailableError."""
        try:
            await self._api.delete(f"{NAMESPACES}/{name}", uid=uid)
        except ApiError as error:
            raise _unavailable(error) from None

    async def _change(self, path: str, change: Object) -> None:
        try:
            items = await self._api.items(path)
        except ApiError as error:
            if error.status == 404:  # a cluster has CronJobs at one of the two versions, or at both
                return
            raise
        for item in items:
            if not _belongs(item) and item.get("status", {}).get("phase") not in OVER:
                await self._api.patch(f"{path}/{item['metadata']['name']}", change)


def _belongs(item: Object) -> bool:
    """Return whether another object says how much of this runs."""
    return any(owner.get("controller") for owner in item["metadata"].get("ownerReferences", ()))


def _allocated(metadata: Mapping[str, Any]) -> Allocated | None:
    annotations, labels = metadata.get("annotations", {}), metadata["labels"]
    try:
        policy = RunNamespace.model_validate(json.loads(annotations[DISPOSAL]))
    except (KeyError, ValueError, ValidationError) as error:
        log.warning("namespace not understood", namespace=metadata["name"], error=type(error).__name__)
        return None
    return Allocated(
        name=metadata["name"],
        uid=metadata["uid"],
        kind=labels[KIND_LABEL],
        job_id=labels[JOB_ID_LABEL],
        pipeline=annotations.get(PIPELINE, ""),
        policy=policy,
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        scaled_down=SCALED_DOWN in annotations,
        goes="deletionTimestamp" in metadata,
    )


def _unavailable(error: ApiError) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(f"Kubernetes says {error}")
