"""Jobs as Kubernetes Jobs: one for each job, named by its id, with what it is given in a Secret that dies with it.

A pod that is lost ends its Job: no second pod is started, for a new attempt must have a number of its own.
"""

import asyncio
import base64
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client import ApiClient, ApiException, BatchV1Api, CoreV1Api

from estafette_common.jobs.runtimes import JobRefusedError, JobSpec, JobState, RuntimeUnavailableError

if TYPE_CHECKING:
    from estafette_common.jobs.runtimes.settings import RuntimeSettings

CREATED_BY = {"createdBy": "estafette"}
JOB_ID_LABEL = "estafette.io/job-id"
KIND_LABEL = "jobType"

LARGEST_PLAN = 900 * 1024
"""Bytes; Kubernetes takes Secrets of up to 1 MiB."""

GRACE = 120
"""Seconds a pod has to end."""

FORGOTTEN_AFTER = 24 * 60 * 60
"""Seconds after its end that the cluster removes a Job itself, should nobody else."""

ANSWERS_WITHIN = 30.0
"""Seconds."""

INVALID = {400, 413, 422}
"""Statuses that no repetition changes. 403 is none of them: a quota may be used up, a role not bound yet."""

T = TypeVar("T")

MOUNT = "/job"
NATS_CREDENTIALS = "nats.creds"
WORKSPACE = "/estafette-work"


class KubernetesRuntime:
    """Talks to the cluster. See `JobRuntime` for what each call promises."""

    name = "kubernetes"

    def __init__(self, settings: "RuntimeSettings") -> None:
        self._settings = settings
        self._namespace = settings.kubernetes_namespace
        self._api: ApiClient | None = None

    async def start(self, job: JobSpec) -> None:
        """Create the Job and its Secret; what exists already is left as it is."""
        plan = job.plan.model_dump_json().encode()
        if len(plan) > LARGEST_PLAN:
            raise JobRefusedError(f"the plan has {len(plan)} bytes; a Secret holds {LARGEST_PLAN}")
        try:
            await self._create_secret(job, plan, await self._create_job(job))
        except ApiException as error:  # its text is the whole answer, which may quote the Secret: it goes no further
            if error.status in INVALID:
                raise JobRefusedError(f"Kubernetes refuses it: {error.status} {error.reason}") from None
            raise _unavailable(error) from None

    async def jobs(self) -> list[JobState]:
        """Return every Job of ours in the namespace."""
        batch = BatchV1Api(await self._client())
        try:
            found = await _answer(batch.list_namespaced_job(self._namespace, label_selector="createdBy=estafette"))
        except ApiException as error:
            raise _unavailable(error) from None
        return [_state(job) for job in found.items]

    async def remove(self, name: str) -> None:
        """Delete the Job with its pods; nothing happens when there is none."""
        batch = BatchV1Api(await self._client())
        try:
            await _answer(batch.delete_namespaced_job(name, self._namespace, propagation_policy="Foreground"))
        except ApiException as error:
            if error.status != 404:
                raise _unavailable(error) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._api is not None:
            await self._api.close()

    async def _client(self) -> ApiClient:
        if self._api is None:
            self._api = ApiClient(await _configuration())
        return self._api

    async def _create_job(self, job: JobSpec) -> Any:
        batch = BatchV1Api(await self._client())
        try:
            return await _answer(batch.create_namespaced_job(self._namespace, job_object(job, self._settings)))
        except ApiException as error:
            if error.status != 409:
                raise
            return await _answer(batch.read_namespaced_job(job.name, self._namespace))

    async def _create_secret(self, job: JobSpec, plan: bytes, owner: Any) -> None:
        core = CoreV1Api(await self._client())
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": owner.metadata.uid}
        secret: Any = {
            "metadata": {"name": job.name, "labels": labels(job), "ownerReferences": [reference]},
            "data": {name: base64.b64encode(content).decode() for name, content in _files(job, plan).items()},
        }
        try:
            await _answer(core.create_namespaced_secret(self._namespace, secret))
        except ApiException as error:
            if error.status != 409:
                raise
            found = await _answer(core.read_namespaced_secret(job.name, self._namespace))
            if owner.metadata.uid not in {each.uid for each in found.metadata.owner_references or []}:
                raise RuntimeUnavailableError(f"the Secret of an earlier Job {job.name} is not gone yet") from None


def labels(job: JobSpec) -> dict[str, str]:
    """Return what our objects are found by."""
    return {**CREATED_BY, KIND_LABEL: job.plan.kind, JOB_ID_LABEL: job.plan.job_id}


def job_object(job: JobSpec, settings: "RuntimeSettings") -> Any:
    """Return the Job as Kubernetes' batch/v1 has it."""
    environment = {
        "ESTAFETTE_NATS_URL": settings.job_nats_url,
        "ESTAFETTE_PLAN_FILE": f"{MOUNT}/plan.json",
        "ESTAFETTE_KEY_FILE": f"{MOUNT}/key",
        "ESTAFETTE_ATTEMPT": "1",
        "ESTAFETTE_WORKSPACE": f"{WORKSPACE}/work",
        "ESTAFETTE_STAGE_RUNTIME": settings.job_stage_runtime,
        "ESTAFETTE_TRACEPARENT": job.traceparent,
    }
    if job.nats_credential:
        environment["ESTAFETTE_NATS_CREDENTIALS"] = f"{MOUNT}/{NATS_CREDENTIALS}"
    container = {
        "name": "builder",
        "image": settings.builder_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-P", "-m", "builder", "run"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": {
            "requests": {"cpu": settings.builder_cpu, "memory": settings.builder_memory},
            "limits": {"cpu": settings.builder_cpu_limit, "memory": settings.builder_memory_limit},
        },
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "job", "mountPath": MOUNT, "readOnly": True},
            {"name": "work", "mountPath": WORKSPACE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of this pod alone
        ],
    }
    user = settings.builder_user
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": settings.builder_service_account,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE,
        "hostNetwork": settings.host_network,
        "securityContext": {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user},
        "containers": [container],
        "volumes": [
            {"name": "job", "secret": {"secretName": job.name, "defaultMode": 0o440}},
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    annotations = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    return {
        "metadata": {"name": job.name, "labels": labels(job)},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(job.plan.timeout) + GRACE,
            "ttlSecondsAfterFinished": FORGOTTEN_AFTER,
            "template": {"metadata": {"labels": labels(job), "annotations": annotations}, "spec": pod},
        },
    }


def _files(job: JobSpec, plan: bytes) -> dict[str, bytes]:
    """Return what the Secret holds, by name."""
    files = {"plan.json": plan, "key": job.key}
    return files | {NATS_CREDENTIALS: job.nats_credential.encode()} if job.nats_credential else files


def _state(job: Any) -> JobState:
    ended = any(each.type in {"Complete", "Failed"} and each.status == "True" for each in job.status.conditions or [])
    return JobState(
        name=job.metadata.name,
        kind=job.metadata.labels.get(KIND_LABEL, ""),
        job_id=job.metadata.labels.get(JOB_ID_LABEL, ""),
        alive=not ended and job.metadata.deletion_timestamp is None,
        created_at=job.metadata.creation_timestamp,
    )


async def _configuration() -> Any:
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # it has no hints
    except config.ConfigException:
        try:
            await config.load_kube_config(client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            raise RuntimeUnavailableError(f"neither in a cluster nor with a usable KUBECONFIG: {error}") from error
    return configuration


async def _answer(call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(ANSWERS_WITHIN):
            return await call
    except (OSError, aiohttp.ClientError) as error:
        raise RuntimeUnavailableError(f"the API server of Kubernetes does not answer: {error!r}") from error


def _unavailable(error: ApiException) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(f"Kubernetes says {error.status} {error.reason}")
