"""Jobs as Kubernetes Jobs: one for each job, named by its id, with plan and key in a Secret that dies with it.

A pod that is lost ends its Job: no second pod is started, for a new attempt must have a number of its own.
"""

import base64
from typing import TYPE_CHECKING, Any

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

MOUNT = "/job"
WORKSPACE = "/estafette-work"


class KubernetesRuntime:
    """Talks to the cluster. See `JobRuntime` for what each call promises."""

    name = "kubernetes"

    def __init__(self, settings: "RuntimeSettings") -> None:
        self._settings = settings
        self._api: ApiClient | None = None

    async def start(self, job: JobSpec) -> None:
        """Create the Job and its Secret; what exists already is left as it is."""
        plan = job.plan.model_dump_json().encode()
        if len(plan) > LARGEST_PLAN:
            raise JobRefusedError(f"the plan has {len(plan)} bytes; a Secret holds {LARGEST_PLAN}")
        owner = await self._create_job(job)
        await self._create_secret(job, plan, owner)

    async def jobs(self) -> list[JobState]:
        """Return every Job of ours in the namespace."""
        try:
            found = await (await self._batch()).list_namespaced_job(
                self._settings.kubernetes_namespace, label_selector="createdBy=estafette"
            )
        except Exception as error:
            raise _translate(error) from error
        return [_state(job) for job in found.items]

    async def remove(self, name: str) -> None:
        """Delete the Job with its pods; nothing happens when there is none."""
        try:
            await (await self._batch()).delete_namespaced_job(
                name, self._settings.kubernetes_namespace, propagation_policy="Foreground"
            )
        except ApiException as error:
            if error.status != 404:
                raise _translate(error) from error
        except Exception as error:
            raise _translate(error) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._api is not None:
            await self._api.close()

    async def _client(self) -> ApiClient:
        if self._api is None:
            try:
                config.load_incluster_config()  # type: ignore[no-untyped-call]  # it has no hints
            except config.ConfigException:
                await config.load_kube_config()
            self._api = client.ApiClient()
        return self._api

    async def _batch(self) -> BatchV1Api:
        return BatchV1Api(await self._client())

    async def _create_job(self, job: JobSpec) -> Any:
        batch, namespace = await self._batch(), self._settings.kubernetes_namespace
        try:
            return await batch.create_namespaced_job(namespace, job_object(job, self._settings))
        except ApiException as error:
            if error.status != 409:
                raise _translate(error) from error
            return await batch.read_namespaced_job(job.name, namespace)
        except Exception as error:
            raise _translate(error) from error

    async def _create_secret(self, job: JobSpec, plan: bytes, owner: Any) -> None:
        core = CoreV1Api(await self._client())
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": owner.metadata.uid}
        secret: Any = {
            "metadata": {"name": job.name, "labels": labels(job), "ownerReferences": [reference]},
            "data": {"plan.json": base64.b64encode(plan).decode(), "key": base64.b64encode(job.key).decode()},
        }
        try:
            await core.create_namespaced_secret(self._settings.kubernetes_namespace, secret)
        except ApiException as error:
            if error.status != 409:
                raise _translate(error) from error
        except Exception as error:
            raise _translate(error) from error


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
    container = {
        "name": "builder",
        "image": settings.builder_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "builder", "run"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [
            {"name": "job", "mountPath": MOUNT, "readOnly": True},
            {"name": "work", "mountPath": WORKSPACE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of this pod alone
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": settings.builder_service_account,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE,
        "hostNetwork": settings.host_network,
        "containers": [container],
        "volumes": [
            {"name": "job", "secret": {"secretName": job.name}},
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


def _state(job: Any) -> JobState:
    ended = any(each.type in {"Complete", "Failed"} and each.status == "True" for each in job.status.conditions or [])
    return JobState(
        name=job.metadata.name,
        kind=job.metadata.labels.get(KIND_LABEL, ""),
        job_id=job.metadata.labels.get(JOB_ID_LABEL, ""),
        alive=not ended and job.metadata.deletion_timestamp is None,
        created_at=job.metadata.creation_timestamp,
    )


def _translate(error: Exception) -> Exception:
    if isinstance(error, ApiException) and error.status in {400, 403, 422}:
        return JobRefusedError(f"Kubernetes refused it: {error.status} {error.reason}")
    return RuntimeUnavailableError(f"Kubernetes cannot be asked: {error!r}")
