"""What becomes of the namespaces of builds on a real cluster, with the cleaner as a process."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from estafette_common.bus.messages.events import CleaningAction as Do
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import After, RunNamespace
from estafette_common.jobs.runtimes import JobSpec
from estafette_common.jobs.runtimes.namespaces import RunNamespaces
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from kubernetes_asyncio import client, config

from tests.kubernetes.planting import FOUND_WITHIN, Planting, cleaner, plan

pytestmark = pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster to test against")

SLEEPER = {"name": "db", "image": "busybox:latest", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "600"]}
POD: Any = {"containers": [SLEEPER], "terminationGracePeriodSeconds": 1}


class Cluster:
    """The namespaces of the builds of one installation, and what is in them."""

    def __init__(self, api: Any) -> None:
        self.home = f"estafette-test-{uuid4().hex[:8]}"
        self.core = client.CoreV1Api(api)
        self._apps = client.AppsV1Api(api)
        self._batch = client.BatchV1Api(api)
        self._runs = RunNamespaces(home=self.home, allowed=True, role="edit")

    async def allocate(self, build_id: str, **policy: Any) -> str:
        """Make the namespace of a build."""
        planned = plan(Kind.BUILD, build_id, "true").model_copy(update={"run_namespace": RunNamespace(**policy)})
        prepared, _ = await self._runs.prepare(JobSpec(plan=planned, key=bytes(32)))
        return prepared.plan.env["ESTAFETTE_RUN_NAMESPACE"]

    async def foreign(self) -> str:
        """Make a namespace like that of a build which there is not, of another installation."""
        labels = {"createdBy": "estafette", "jobType": "build", "estafette.io/job-id": "7"}
        labels |= {"estafette.io/jobs-namespace": f"{self.home}-other"}
        annotations = {"estafette.io/disposal": "{}"}
        body: Any = {"metadata": {"name": f"run-{self.home}", "labels": labels, "annotations": annotations}}
        await self.core.create_namespace(body)
        return f"run-{self.home}"

    async def fill(self, namespace: str) -> None:
        """Let something of each kind run in a namespace."""
        await self._apps.create_namespaced_deployment(namespace, _whole("deployment", replicas=1))
        await self._apps.create_namespaced_stateful_set(namespace, _whole("set", replicas=1, serviceName="db"))
        await self._apps.create_namespaced_replica_set(namespace, _whole("replicas", replicas=1))
        await self._apps.create_namespaced_daemon_set(namespace, _whole("daemon"))
        controller = _whole("controller", replicas=1, selector={"app": "controller"})
        await self.core.create_namespaced_replication_controller(namespace, controller)
        once: Any = {"metadata": {"name": "db"}, "spec": {"template": {"spec": POD | {"restartPolicy": "Never"}}}}
        await self._batch.create_namespaced_job(namespace, once)
        alone: Any = {"metadata": {"name": "alone"}, "spec": POD}
        await self.core.create_namespaced_pod(namespace, alone)
        await eventually(lambda: self._runs_pods(namespace, 7), within=60)

    async def replicas(self, namespace: str) -> dict[str, int]:
        """Return what is wanted of each object."""
        deployment = await self._apps.read_namespaced_deployment("db", namespace)
        stateful = await self._apps.read_namespaced_stateful_set("db", namespace)
        replica_set = await self._apps.read_namespaced_replica_set("db", namespace)
        controller = await self.core.read_namespaced_replication_controller("db", namespace)
        daemons = await self._apps.read_namespaced_daemon_set("db", namespace)
        job = await self._batch.read_namespaced_job("db", namespace)
        return {
            "deployment": deployment.spec.replicas,
            "stateful set": stateful.spec.replicas,
            "replica set": replica_set.spec.replicas,
            "controller": controller.spec.replicas,
            "daemon set": daemons.status.desired_number_scheduled,
            "job": job.spec.parallelism,
        }

    async def pods(self, namespace: str) -> dict[str, str]:
        """Return the phase of each pod."""
        found = (await self.core.list_namespaced_pod(namespace)).items
        return {pod.metadata.name: pod.status.phase for pod in found}

    async def is_there(self, namespace: str) -> bool:
        """Return whether a namespace is there, and stays."""
        found = await self.core.list_namespace(field_selector=f"metadata.name={namespace}")
        return [each.status.phase for each in found.items] == ["Active"]

    async def are_gone(self, namespaces: set[str]) -> bool:
        return not namespaces & {each.metadata.name for each in (await self.core.list_namespace()).items}

    async def close(self) -> None:
        """Remove what is left."""
        selector = f"estafette.io/jobs-namespace in ({self.home}, {self.home}-other)"
        for each in (await self.core.list_namespace(label_selector=selector)).items:
            await self.core.delete_namespace(each.metadata.name)
        await self._runs.close()

    async def _runs_pods(self, namespace: str, count: int) -> bool:
        return list((await self.pods(namespace)).values()).count("Running") >= count


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    configuration = client.Configuration()
    await config.load_kube_config(client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        cluster = Cluster(api)
        yield cluster
        await cluster.close()


@pytest.fixture
def settings(cluster: Cluster, nats_server: NatsServer, database_url: str) -> dict[str, str]:
    return {
        "NATS_URL": nats_server.url,
        "DATABASE_URL": database_url,
        "RUNTIME": "kubernetes",
        "KUBERNETES_NAMESPACE": cluster.home,
        "RUN_NAMESPACES": "true",
    }


@pytest.mark.timeout(600)
async def test_nothing_runs_in_the_namespace_of_a_build_that_ended_and_everything_is_kept_to_look_at(
    cluster: Cluster, planting: Planting, settings: dict[str, str], folder: Path
) -> None:
    ended = await planting.row(Kind.BUILD, "failed", finished=60)
    namespace = await cluster.allocate(ended, ttl=3600.0)
    await cluster.fill(namespace)

    with cleaner(folder / "cleaner.log", **settings):
        await eventually(planting.events, within=FOUND_WITHIN)
        await eventually(lambda: _is(lambda: cluster.pods(namespace), {"alone": "Failed"}), within=120)

    assert set((await cluster.replicas(namespace)).values()) == {0}
    [told] = await planting.events()
    assert (told.action, told.name, told.job_id) == (Do.NAMESPACE_SCALED_DOWN, namespace, ended)
    assert told.reason == "its build failed"


@pytest.mark.timeout(600)
async def test_namespaces_are_removed_as_their_policies_say_and_others_stay(
    cluster: Cluster, planting: Planting, settings: dict[str, str], folder: Path
) -> None:
    running = await cluster.allocate(await planting.row(Kind.BUILD, "running", heartbeat=-120, dispatched=900))
    failed = await planting.row(Kind.BUILD, "failed", finished=60)
    succeeded = await planting.row(Kind.BUILD, "succeeded", finished=60)
    kept = await cluster.allocate(failed, after=After.SUCCESS, scale_to_zero=False)
    removed = {
        await cluster.allocate(succeeded, after=After.SUCCESS),
        await cluster.allocate(await planting.row(Kind.BUILD, "failed", finished=60)),
        await cluster.allocate(str(uuid4().int >> 65)),  # there is no such build
    }
    foreign = await cluster.foreign()

    with cleaner(folder / "cleaner.log", **settings):
        await eventually(lambda: cluster.are_gone(removed), within=FOUND_WITHIN + 30)

    assert [await cluster.is_there(name) for name in (running, kept, foreign)] == [True, True, True]
    assert {event.name for event in await planting.events()} == removed
    assert {event.action for event in await planting.events()} == {Do.NAMESPACE_REMOVED}


def _whole(app: str, **fields: Any) -> Any:
    """Return an object that keeps pods running; no two of them take each other's for their own."""
    labels = {"app": app}
    template = {"metadata": {"labels": labels}, "spec": POD}
    return {"metadata": {"name": "db"}, "spec": {"selector": {"matchLabels": labels}, "template": template} | fields}


async def _is(look: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await look() == wanted
