"""What lies in the namespace of the jobs, besides what a runtime tells of its jobs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from estafette_common.bus.messages.events import CleaningAction as Do
from estafette_common.jobs.runtimes import RuntimeUnavailableError
from estafette_common.jobs.runtimes.kubernetes_api import ApiError
from estafette_common.jobs.runtimes.namespaces_api import ONLY_METADATA, ClusterApi

from hanging_job_cleaner.actions import Action
from hanging_job_cleaner.disposing import Allocated
from hanging_job_cleaner.leftovers import Thing
from hanging_job_cleaner.namespaces import Namespaces

OURS = "createdBy=estafette,jobType,estafette.io/job-id"
"""What is labelled otherwise is not ours to judge."""

PARTS = {"Secret": "/api/v1/namespaces/{namespace}/secrets", "Pod": "/api/v1/namespaces/{namespace}/pods"}
JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"


class Cluster:
    """Reads and removes what is in the namespace of the jobs. Raises RuntimeUnavailableError."""

    def __init__(self, api: ClusterApi, namespace: str, *, runs: Namespaces | None) -> None:
        """Take the namespace of the jobs, and those of runs where there may be some."""
        self._api = api
        self._namespace = namespace
        self._runs = runs

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

    async def namespaces(self) -> list[Allocated]:
        """Return the namespaces that runs have for themselves."""
        return await self._runs.allocated() if self._runs else []

    async def do(self, action: Action) -> None:
        """Do what concerns nothing but the cluster."""
        match action.do:
            case Do.LEFTOVER_REMOVED:
                what, _, name = action.name.partition(" ")
                await self._remove(what, name, uid=action.which)
            case Do.NAMESPACE_SCALED_DOWN if self._runs:
                await self._runs.scale_down(action.name)
            case Do.NAMESPACE_REMOVED if self._runs:
                await self._runs.remove(action.name, uid=action.which)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _remove(self, what: str, name: str, *, uid: str) -> None:
        """Remove a Secret or pod, unless it is another one by now."""
        path = PARTS[what].format(namespace=self._namespace)
        try:
            await self._api.delete(f"{path}/{name}", uid=uid)
        except ApiError as error:
            raise RuntimeUnavailableError(f"Kubernetes says {error}") from None


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
