"""A job as objects of Kubernetes. Pure."""

import base64
import re
from typing import TYPE_CHECKING, Any

import zstandard

from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.runtimes import JobRefusedError, JobSpec
from estafette_common.jobs.runtimes.kubernetes_resources import resources

if TYPE_CHECKING:
    from estafette_common.jobs.runtimes.settings import Placement, RuntimeSettings

CREATED_BY = {"createdBy": "estafette"}
JOB_ID_LABEL = "estafette.io/job-id"
KIND_LABEL = "jobType"
ATTEMPT_LABEL = "estafette.io/attempt"
PIPELINE_ANNOTATION = "estafette.io/pipeline"

LONGEST_NAME = 63
"""Characters of a Job's name, for its pods have it as a label."""

LARGEST_SECRET = 900 * 1024
"""Bytes; Kubernetes takes Secrets of up to 1 MiB."""

GRACE = 120
"""Seconds a pod has to end."""

FORGOTTEN_AFTER = 24 * 60 * 60
"""Seconds after its end that the cluster removes a Job itself, should nobody else."""

MOUNT = "/job"
PLAN = "plan.json"
COMPRESSED_PLAN = f"{PLAN}.zst"
NATS_CREDENTIALS = "nats.creds"
WORKSPACE = "/estafette-work"
CONTEXT = "/job-context"
ENGINE_DATA = "/var/lib/docker"
CGROUPS = "/sys/fs/cgroup"

POD_FIELDS = {
    "POD_NAME": "metadata.name",
    "POD_UID": "metadata.uid",
    "POD_NAMESPACE": "metadata.namespace",
    "POD_NODE_NAME": "spec.nodeName",
}
"""Variables by which a builder knows where it is, as in the reference."""

CONTEXT_FIELDS = ("name", "namespace", "uid", "labels", "annotations")
"""What stages find in files about the pod that they run in."""

SPOT = {
    "cloud.google.com/gke-spot": "true",
    "cloud.google.com/gke-preemptible": "true",
    "eks.amazonaws.com/capacityType": "SPOT",
    "karpenter.sh/capacity-type": "spot",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
"""Labels, and mostly taints, of nodes that a cloud may take away at any time."""


def job_name(job: JobSpec) -> str:
    """Return the name of the Job of an attempt: `build-acme-shop-42`, for the second attempt `build-acme-shop-42-2`.

    The same attempt has the same name whoever starts it. That of the repository is cut so that the whole has 63
    characters.
    """
    plan = job.plan
    end = plan.job_id if job.attempt == 1 else f"{plan.job_id}-{job.attempt}"
    room = LONGEST_NAME - len(f"{plan.kind}--{end}")
    repository = re.sub(r"[^a-z0-9]+", "-", f"{plan.repository.owner}-{plan.repository.name}".lower())[: max(room, 0)]
    return "-".join(part for part in (plan.kind, repository.strip("-"), end) if part)


def pull_secret_name(job: JobSpec) -> str:
    """Return the name of the Secret that the image of the builder is pulled with."""
    return f"{job_name(job)}.pull"


def labels(job: JobSpec) -> dict[str, str]:
    """Return what our objects are found by."""
    plan = job.plan
    return {**CREATED_BY, KIND_LABEL: plan.kind, JOB_ID_LABEL: plan.job_id, ATTEMPT_LABEL: str(job.attempt)}


def files(job: JobSpec) -> dict[str, bytes]:
    """Return what the builder is given, by name. A plan that is too large for a Secret is compressed.

    Raises JobRefusedError where that is not enough.
    """
    plan = job.plan.model_dump_json().encode()
    name = PLAN
    if len(plan) > LARGEST_SECRET:
        name, plan = COMPRESSED_PLAN, zstandard.compress(plan)
    if len(plan) > LARGEST_SECRET:
        raise JobRefusedError(f"the plan has {len(plan)} bytes, compressed; a Secret holds {LARGEST_SECRET}")
    given = {name: plan, "key": job.key}
    return given | {NATS_CREDENTIALS: job.nats_credential.encode()} if job.nats_credential else given


def secrets(job: JobSpec, given: dict[str, bytes], *, owner: str) -> list[dict[str, Any]]:
    """Return the Secrets of a Job, which die with it; `owner` is its uid. That which the pod waits for comes last."""
    plan = _secret(job, job_name(job), "Opaque", given, owner)
    if not job.registry_logins:
        return [plan]
    logins = {".dockerconfigjson": job.registry_logins.encode()}
    return [_secret(job, pull_secret_name(job), "kubernetes.io/dockerconfigjson", logins, owner), plan]


def job_object(job: JobSpec, settings: "RuntimeSettings", *, plan_file: str = PLAN) -> dict[str, Any]:
    """Return the Job as Kubernetes' batch/v1 has it; `plan_file` is the name of the plan in its Secret."""
    name = job_name(job)
    annotations = {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        PIPELINE_ANNOTATION: job.plan.repository.pipeline,
    }
    return {
        "metadata": {"name": name, "labels": labels(job), "annotations": annotations},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(job.plan.timeout) + GRACE,
            "ttlSecondsAfterFinished": FORGOTTEN_AFTER,
            "template": {
                "metadata": {"labels": labels(job), "annotations": annotations},
                "spec": _pod(job, settings, plan_file),
            },
        },
    }


def has_own_engine(job: JobSpec, settings: "RuntimeSettings") -> bool:
    """Return whether the builder starts a Docker Engine in its pod, for which it needs to be privileged."""
    return job.plan.own_engine is not None and settings.job_stage_runtime in {"docker", "auto"}


def placement(kind: Kind, settings: "RuntimeSettings") -> "Placement":
    """Return where the pods of a kind go: as the settings say, or else builds to spot nodes and others elsewhere."""
    from estafette_common.jobs.runtimes.settings import Placement  # noqa: PLC0415  it imports the runtimes

    if (found := settings.job_placement.get(kind)) is not None:
        return found
    if kind is not Kind.BUILD:
        avoids = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in SPOT.items()]
        required = {"nodeSelectorTerms": [{"matchExpressions": avoids}]}
        return Placement(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})
    prefers = [
        {"weight": 10, "preference": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}}
        for key, value in SPOT.items()
    ]
    tolerates = [
        {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"} for key, value in SPOT.items()
    ]
    return Placement(
        affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": prefers}}, tolerations=tolerates
    )


def _pod(job: JobSpec, settings: "RuntimeSettings", plan_file: str) -> dict[str, Any]:
    user, engine = settings.builder_user, has_own_engine(job, settings)
    place = placement(job.plan.kind, settings)
    as_user = {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user}
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": settings.builder_service_account,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE,
        "hostNetwork": settings.host_network,
        "dnsPolicy": "ClusterFirstWithHostNet" if settings.host_network else "ClusterFirst",
        "securityContext": {"runAsUser": 0} if engine else as_user | {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(job, settings, plan_file)],
        "volumes": [
            {"name": "job", "secret": {"secretName": job_name(job), "defaultMode": 0o440}},
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "context", "downwardAPI": {"items": _context()}},
            *([{"name": "engine", "emptyDir": {}}] if engine else []),
        ],
        "tolerations": [*place.tolerations, *_node_loss(settings.node_loss_patience)],
        "affinity": place.affinity,
        "nodeSelector": place.node_selector,
    }
    return pod | {"imagePullSecrets": [{"name": pull_secret_name(job)}]} if job.registry_logins else pod


def _container(job: JobSpec, settings: "RuntimeSettings", plan_file: str) -> dict[str, Any]:
    environment = {
        "ESTAFETTE_NATS_URL": settings.job_nats_url,
        "ESTAFETTE_PLAN_FILE": f"{MOUNT}/{plan_file}",
        "ESTAFETTE_KEY_FILE": f"{MOUNT}/key",
        "ESTAFETTE_ATTEMPT": str(job.attempt),
        "ESTAFETTE_BEGUN_BEFORE": str(job.begun_before),
        "ESTAFETTE_WORKSPACE": f"{WORKSPACE}/work",
        "ESTAFETTE_STAGE_RUNTIME": settings.job_stage_runtime,
        "ESTAFETTE_CGROUPS": CGROUPS,
        "ESTAFETTE_TRACEPARENT": job.traceparent,
    }
    if job.nats_credential:
        environment["ESTAFETTE_NATS_CREDENTIALS"] = f"{MOUNT}/{NATS_CREDENTIALS}"
    engine = has_own_engine(job, settings)
    unprivileged = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "name": "builder",
        "image": settings.builder_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-P", "-m", "builder", "run"],
        "env": [
            *({"name": name, "value": value} for name, value in environment.items()),
            *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in POD_FIELDS.items()),
        ],
        "resources": resources(job.measured, settings),
        "securityContext": {"privileged": True} if engine else unprivileged,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "job", "mountPath": MOUNT, "readOnly": True},
            {"name": "work", "mountPath": WORKSPACE},
            {"name": "context", "mountPath": CONTEXT, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of this pod alone
            *([{"name": "engine", "mountPath": ENGINE_DATA}] if engine else []),
        ],
    }


def _context() -> list[dict[str, Any]]:
    return [{"path": field, "fieldRef": {"fieldPath": f"metadata.{field}"}} for field in CONTEXT_FIELDS]


def _node_loss(patience: int) -> list[dict[str, Any]]:
    """Return for how long a pod stays with a node that is not heard of; 300 s where nobody says."""
    return [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": patience,
        }
        for state in ("not-ready", "unreachable")
    ]


def _secret(job: JobSpec, name: str, kind: str, data: dict[str, bytes], owner: str) -> dict[str, Any]:
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": job_name(job), "uid": owner}
    return {
        "metadata": {"name": name, "labels": labels(job), "ownerReferences": [reference]},
        "type": kind,
        "data": {name: base64.b64encode(content).decode() for name, content in data.items()},
    }
