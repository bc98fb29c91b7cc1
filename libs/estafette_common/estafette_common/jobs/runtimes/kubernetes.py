"""Jobs as Kubernetes Jobs: one for each attempt of a job, with what it is given in Secrets that die with it.

A Job has one pod. Kubernetes must not start another, for a new attempt has a number of its own; where it does all the
same (before 1.26 it replaces pods that are deleted), the builder of the second pod finds that the attempt was begun
already, and ends its Job.
"""

from typing import TYPE_CHECKING, Any

from estafette_common.jobs.runtimes import JobSpec, JobState, Observer, RuntimeUnavailableError
from estafette_common.jobs.runtimes.kubernetes_api import Api, ApiError, Object
from estafette_common.jobs.runtimes.kubernetes_judging import Patience, condition, time_of
from estafette_common.jobs.runtimes.kubernetes_objects import (
    ATTEMPT_LABEL,
    CREATED_BY,
    JOB_ID_LABEL,
    KIND_LABEL,
    PLAN,
    files,
    job_name,
    job_object,
    secrets,
)
from estafette_common.jobs.runtimes.kubernetes_watching import Watching
from estafette_common.jobs.runtimes.namespaces import RunNamespaces

if TYPE_CHECKING:
    from estafette_common.jobs.runtimes.settings import RuntimeSettings

OURS = ",".join(f"{key}={value}" for key, value in CREATED_BY.items())


class KubernetesRuntime:
    """Talks to the cluster. See `JobRuntime` for what each call promises."""

    name = "kubernetes"
    outlives_builders = True

    def __init__(self, settings: "RuntimeSettings") -> None:
        self._settings = settings
        self._namespaces = RunNamespaces(
            home=settings.kubernetes_namespace, allowed=settings.run_namespaces, role=settings.run_namespace_role
        )
        self._api = Api(settings.kubernetes_namespace, calls_per_second=settings.kubernetes_rate)

    async def start(self, job: JobSpec) -> str:
        """Create the Job and its Secrets; what exists already is left as it is."""
        try:
            job, access = await self._namespaces.prepare(job)
            given = files(job) | access
            plan_file = next(name for name in given if name.startswith(PLAN))
            body = job_object(job, self._settings, plan_file=plan_file)
            found = await self._api.create("jobs", body) or await self._api.get("jobs", job_name(job))
            if found is None:
                raise RuntimeUnavailableError(f"an earlier Job {job_name(job)} has just gone")
            for secret in secrets(job, given, owner=found["metadata"]["uid"]):
                await self._create_secret(secret)
        except ApiError as error:
            raise error.as_ours() from None
        return job_name(job)

    async def jobs(self) -> list[JobState]:
        """Return every Job of ours in the namespace; of several attempts of one job, the last comes last."""
        return await self._list(OURS)

    async def find(self, kind: str, job_id: str) -> list[JobState]:
        """Return the Jobs of a job. One that is being deleted is there until its pod is gone."""
        return await self._list(f"{OURS},{KIND_LABEL}={kind},{JOB_ID_LABEL}={job_id}")

    async def remove(self, name: str) -> None:
        """Delete the Job after its pods, which have time to end; nothing happens when there is none."""
        try:
            await self._api.delete("jobs", name)
        except ApiError as error:
            raise _unavailable(error) from None

    async def watch(self, observer: Observer) -> None:
        """Tell what becomes of the Jobs and their pods, for ever."""
        patience = Patience(
            image=self._settings.image_patience,
            node=self._settings.node_loss_patience,
            scheduling=self._settings.scheduling_patience,
        )
        await Watching(self._api, OURS, patience, observer).run()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        await self._namespaces.close()

    async def _list(self, selector: str) -> list[JobState]:
        try:
            found = [_state(job) async for page in self._api.pages("jobs", selector) for job in page["items"]]
        except ApiError as error:
            raise _unavailable(error) from None
        return sorted(found, key=lambda state: state.attempt)

    async def _create_secret(self, secret: Object) -> None:
        if await self._api.create("secrets", secret):
            return
        name = secret["metadata"]["name"]
        found = await self._api.get("secrets", name)
        owners = {each["uid"] for each in found["metadata"].get("ownerReferences", ())} if found else set()
        if not owners & {each["uid"] for each in secret["metadata"]["ownerReferences"]}:
            raise RuntimeUnavailableError(f"the Secret {name} of an earlier Job is not gone yet")


def _state(job: Object) -> JobState:
    metadata = job["metadata"]
    ended = condition(job, "Complete") or condition(job, "Failed")
    found: dict[str, Any] = metadata["labels"]
    return JobState(
        name=metadata["name"],
        kind=found.get(KIND_LABEL, ""),
        job_id=found.get(JOB_ID_LABEL, ""),
        attempt=int(found.get(ATTEMPT_LABEL, 1)),
        alive=not ended and "deletionTimestamp" not in metadata,
        created_at=time_of(metadata["creationTimestamp"]),
    )


def _unavailable(error: ApiError) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(f"Kubernetes says {error}")
