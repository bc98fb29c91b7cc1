"""What lies in the namespace of the jobs, besides what a runtime tells of its jobs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from estafette_common.jobs.runtimes import RuntimeUnavailableError
from estafette_common.jobs.runtimes.kubernetes_api import ApiError
from estafette_common.jobs.runtimes.namespaces_api import ONLY_METADATA, ClusterApi

from hanging_job_cleaner.leftovers import Thing

OURS = "createdBy=estafette,jobType,estafette.io/job-id"
"""What is labelled otherwise is not ours to judge."""

PARTS = {"Secret": "/api/v1/namespaces/{namespace}/secrets", "Pod": "/api/v1/namespaces/{namespace}/pods"}
JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"


class Cluster:
    """Reads and removes what is in the namespace of the jobs. Raises RuntimeUnavailableError."""

    def __init__(self, api: ClusterApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def things(self) -> list[Thing]:
        """Return the Jobs of ours, and what belongs to Jobs. Jobs come last: no part is older than its Job then."""
        found: list[Thing] = []
        try:
            for what, path in {**PARTS, "Job": JOBS}.items():
                items = await self._api.items(path.format(namespace=self._namespace), OURS, wanted=ONLY_METADATA)
                found += [_thing(what, item["metadata"]) for item in items]
        except ApiError as error:
            raise RuntimeUnavailableError(f"Kubernetes says {error}") from None
        return found

    async def remove(self, what: str, name: str, *, uid: str) -> None:
        """Remove a Secret or pod, unless it is another one by now."""
        path = PARTS[what].format(namespace=self._namespace)
        try:
            await self._api.delete(f"{path}/{name}", uid=uid)
        except ApiError as error:
            raise RuntimeUnavailableError(f"Kubernetes says {error}") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()


def _thing(what: str, metadata: Mapping[str, Any]) -> Thing:
    return Thing(
        what=what,
        name=metadata["name"],
        uid=metadata["uid"],
        kind=metadata["labels"]["jobType"],
        job_id=metadata["labels"]["estafette.io/job-id"],
        owners=frozenset(owner["uid"] for owner in metadata.get("ownerReferences", ())),
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        goes="deletionTimestamp" in metadata,
    )
