"""The namespace that a run has for itself, and what its stages need to work in it.

Whose it is, is proven: it is created with an owner's uuid and read back; where it is not ours, another name is taken.
"""

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from estafette_common.jobs.plan import Plan
from estafette_common.jobs.runtimes import JobRefusedError, JobSpec, RuntimeUnavailableError
from estafette_common.jobs.runtimes.kubernetes_api import Object, configuration
from estafette_common.jobs.runtimes.kubernetes_objects import CREATED_BY, JOB_ID_LABEL, KIND_LABEL, MOUNT
from estafette_common.jobs.runtimes.namespaces_api import ClusterApi

HOME_LABEL = "estafette.io/jobs-namespace"
"""Whose namespace it is: several installations may share a cluster."""

OWNER = "estafette.io/owner"
PIPELINE = "estafette.io/pipeline"
DISPOSAL = "estafette.io/disposal"
"""Annotations: the uuid of the run, its pipeline, and when the namespace is removed, as JSON."""

NAMESPACES = "/api/v1/namespaces"
KUBECONFIG = "kubeconfig"
ACCOUNT = "run"

LONGEST = 63
"""Characters of a DNS label."""

TRIES = 10
"""How many names are tried."""

SLACK = 60 * 60
"""Seconds that the token of a run outlasts it, for its pod may have to wait for a node."""


class RunNamespaces:
    """Makes namespaces. Everything may be repeated, by anybody, and leads to the same namespace."""

    def __init__(self, *, home: str, allowed: bool, role: str) -> None:
        """Take the namespace of the jobs, and the cluster role that a run has in its namespace."""
        self._home = home
        self._allowed = allowed
        self._role = role
        self._api = ClusterApi()

    async def prepare(self, job: JobSpec) -> tuple[JobSpec, dict[str, bytes]]:
        """Return the job with what its stages need to know, and files for it by name; as it is where it asks for none.

        Raises JobRefusedError, ApiError or RuntimeUnavailableError.
        """
        if job.plan.run_namespace is None:
            return job, {}
        if not self._allowed:
            raise JobRefusedError("the manifest asks for a runNamespace, and ESTAFETTE_RUN_NAMESPACES allows none")
        name = await self._allocate(job.plan)
        access = await self._access(name, seconds=int(job.plan.timeout) + SLACK)
        told = {"ESTAFETTE_RUN_NAMESPACE": name, "KUBECONFIG": f"{MOUNT}/{KUBECONFIG}"}
        plan = job.plan.model_copy(update={"env": job.plan.env | told})
        return replace(job, plan=plan), {KUBECONFIG: access}

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _allocate(self, plan: Plan) -> str:
        """Return the name of a namespace that is the run's, and nobody else's."""
        for name in names(plan):
            await self._api.create(NAMESPACES, namespace_object(plan, name, home=self._home))
            found = await self._api.get(f"{NAMESPACES}/{name}")
            if found is not None and is_of(found, plan):
                return name
        raise RuntimeUnavailableError(f"{TRIES} names for a namespace of {plan.job_name} are taken")

    async def _access(self, namespace: str, *, seconds: int) -> bytes:
        """Return the kubeconfig of somebody who may work in the namespace, and nowhere else."""
        core = f"{NAMESPACES}/{namespace}/serviceaccounts"
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
        await self._api.create(core, {"metadata": {"name": ACCOUNT, "labels": CREATED_BY}})
        await self._api.create(rbac, _binding(namespace, self._role))
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        made = await self._api.create(f"{core}/{ACCOUNT}/token", {**request, "spec": {"expirationSeconds": seconds}})
        if made is None:
            raise RuntimeUnavailableError(f"Kubernetes gives no token in {namespace}")
        ours = await configuration()
        server = await asyncio.to_thread(_server, ours.host, ours.ssl_ca_cert, verified=ours.verify_ssl)
        return kubeconfig(server, namespace=namespace, token=made["status"]["token"])


def owner(plan: Plan) -> str:
    """Return the uuid that stands for a run: the same whoever starts it, and for each attempt."""
    return str(uuid5(NAMESPACE_OID, f"estafette/{plan.job_name}"))


def names(plan: Plan) -> Iterator[str]:
    """Give names for the namespace of a run, `run-1-0-7-main-1f3a9c2e`, in the order in which they are tried."""
    words = _label(f"{plan.version.version}-{plan.branch}")
    for number in range(TRIES):
        end = uuid5(NAMESPACE_OID, f"{owner(plan)}/{number}").hex[:8]
        room = LONGEST - len(f"run--{end}")
        yield "-".join(part for part in ("run", words[:room].strip("-"), end) if part)


def namespace_object(plan: Plan, name: str, *, home: str) -> Object:
    """Return the namespace as Kubernetes has it."""
    disposal = plan.run_namespace.model_dump_json() if plan.run_namespace else ""
    return {
        "metadata": {
            "name": name,
            "labels": {**CREATED_BY, KIND_LABEL: plan.kind, JOB_ID_LABEL: plan.job_id, HOME_LABEL: home},
            "annotations": {OWNER: owner(plan), PIPELINE: plan.repository.pipeline, DISPOSAL: disposal},
        }
    }


def is_of(namespace: Object, plan: Plan) -> bool:
    """Return whether a namespace is that of the run, and will stay."""
    metadata = namespace["metadata"]
    return metadata.get("annotations", {}).get(OWNER) == owner(plan) and "deletionTimestamp" not in metadata


def kubeconfig(cluster: Object, *, namespace: str, token: str) -> bytes:
    """Return a kubeconfig for somebody with a token in a namespace; JSON is YAML, too."""
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": ACCOUNT, "user": {"token": token}}],
        "contexts": [{"name": "run", "context": {"cluster": "cluster", "user": ACCOUNT, "namespace": namespace}}],
        "current-context": "run",
    }
    return json.dumps(content, indent=2).encode()


def _server(host: str, authority: str | None, *, verified: bool) -> Object:
    """Return how the API server is reached, and known, as a kubeconfig has it: the same way as by this process."""
    if not verified:
        return {"server": host, "insecure-skip-tls-verify": True}
    if authority is None:
        return {"server": host}
    return {"server": host, "certificate-authority-data": base64.b64encode(Path(authority).read_bytes()).decode()}


def _binding(namespace: str, role: str) -> Object:
    return {
        "metadata": {"name": ACCOUNT, "labels": CREATED_BY},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    }


def _label(text: str) -> str:
    """Return a text as a part of a DNS label."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower()).strip("-")
