"""Against a real API server. Whether pods can run there does not matter to these tests."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
import zstandard
from estafette_common.jobs.plan import Plan
from estafette_common.jobs.runtimes import JobRefusedError, JobSpec, RuntimeUnavailableError
from estafette_common.jobs.runtimes.kubernetes_objects import job_name
from estafette_common.jobs.runtimes.settings import RuntimeSettings, create_runtime
from estafette_local.waiting import eventually
from kubernetes_asyncio import client, config

pytestmark = pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster to test against")

MakeJob = Callable[..., JobSpec]


class Cluster:
    """A namespace of the test's own, looked at with the client library directly."""

    def __init__(self, api: Any, namespace: str) -> None:
        self.namespace = namespace
        self.batch = client.BatchV1Api(api)
        self.core = client.CoreV1Api(api)

    async def api_of_nobody(self) -> Any:
        """Return a client whom the cluster allows nothing."""
        configuration = client.Configuration()
        await config.load_kube_config(client_configuration=configuration)
        configuration.api_key, configuration.refresh_api_key_hook = {}, None
        return client.ApiClient(configuration)

    async def job(self, name: str) -> Any:
        return await self.batch.read_namespaced_job(name, self.namespace)

    async def secret(self, name: str) -> Any:
        return await self.core.read_namespaced_secret(name, self.namespace)

    async def jobs(self) -> list[str]:
        return [job.metadata.name for job in (await self.batch.list_namespaced_job(self.namespace)).items]

    async def secrets(self) -> list[str]:
        found = (await self.core.list_namespaced_secret(self.namespace, label_selector="createdBy=estafette")).items
        return [secret.metadata.name for secret in found]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    configuration = client.Configuration()
    await config.load_kube_config(client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        cluster = Cluster(api, f"estafette-test-{uuid4().hex[:8]}")
        body: Any = {"metadata": {"name": cluster.namespace}}
        await cluster.core.create_namespace(body)
        yield cluster
        await cluster.core.delete_namespace(cluster.namespace)  # with all that is in it


@pytest.fixture
def settings(cluster: Cluster) -> RuntimeSettings:
    return RuntimeSettings(
        runtime="kubernetes",
        kubernetes_namespace=cluster.namespace,
        builder_image="busybox:latest",
        job_nats_url="nats://nats.example:4222",
        job_stage_runtime="process",
    )


@pytest.fixture
async def runtime(settings: RuntimeSettings) -> AsyncIterator[Any]:
    runtime = create_runtime(settings)
    yield runtime
    await runtime.close()


async def test_a_job_becomes_a_job_of_its_name_with_our_labels(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job()

    await runtime.start(job)

    found = await cluster.job(job_name(job))
    wanted = {"createdBy": "estafette", "jobType": "build", "estafette.io/job-id": job.plan.job_id}
    assert wanted.items() <= found.metadata.labels.items()
    assert wanted.items() <= found.spec.template.metadata.labels.items()


async def test_a_lost_pod_ends_its_job_and_nothing_lives_for_ever(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job(timeout=1000.0)

    await runtime.start(job)

    spec = (await cluster.job(job_name(job))).spec
    assert (spec.backoff_limit, spec.template.spec.restart_policy) == (0, "Never")
    assert spec.active_deadline_seconds >= 1000
    assert spec.ttl_seconds_after_finished > 0
    assert spec.template.spec.termination_grace_period_seconds == 120
    annotations = spec.template.metadata.annotations
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


async def test_the_pod_finds_plan_and_key_where_its_environment_says(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job()

    await runtime.start(job)

    pod = (await cluster.job(job_name(job))).spec.template.spec
    [builder] = pod.containers
    environment = {each.name: each.value for each in builder.env}
    volumes = {volume.name: volume for volume in pod.volumes}
    [files] = [mount for mount in builder.volume_mounts if volumes[mount.name].secret is not None]
    assert volumes[files.name].secret.secret_name == job_name(job)
    data = (await cluster.secret(job_name(job))).data
    plan = data[environment["ESTAFETTE_PLAN_FILE"].removeprefix(f"{files.mount_path}/")]
    key = data[environment["ESTAFETTE_KEY_FILE"].removeprefix(f"{files.mount_path}/")]
    assert Plan.model_validate_json(base64.b64decode(plan)) == job.plan
    assert base64.b64decode(key) == job.key


async def test_the_builder_is_told_where_nats_is_which_attempt_and_trace_it_continues(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job()

    await runtime.start(job)

    pod = (await cluster.job(job_name(job))).spec.template.spec
    environment = {each.name: each.value for each in pod.containers[0].env}
    assert environment["ESTAFETTE_NATS_URL"] == "nats://nats.example:4222"
    assert environment["ESTAFETTE_ATTEMPT"] == "1"
    assert environment["ESTAFETTE_STAGE_RUNTIME"] == "process"
    assert environment["ESTAFETTE_TRACEPARENT"] == job.traceparent
    assert pod.containers[0].image == "busybox:latest"
    assert pod.automount_service_account_token is False


async def test_the_key_stands_nowhere_but_in_the_secret(runtime: Any, cluster: Cluster, make_job: MakeJob) -> None:
    job = make_job()

    await runtime.start(job)

    text = json.dumps((await cluster.job(job_name(job))).to_dict(), default=str)
    assert base64.b64encode(job.key).decode() not in text
    assert job.plan.revision not in text


async def test_the_nats_credential_of_a_job_is_a_file_of_its_secret(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job(nats_credential="who may tell what")

    await runtime.start(job)

    found = await cluster.job(job_name(job))
    [builder] = found.spec.template.spec.containers
    variables = {variable.name: variable.value for variable in builder.env}
    [files] = [mount for mount in builder.volume_mounts if mount.name == "job"]
    assert variables["ESTAFETTE_NATS_CREDENTIALS"] == f"{files.mount_path}/nats.creds"
    data = (await cluster.secret(job_name(job))).data
    assert base64.b64decode(data["nats.creds"]) == b"who may tell what"
    assert job.nats_credential not in json.dumps(found.to_dict(), default=str)


async def test_starting_a_job_again_and_at_the_same_time_gives_one(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job()

    await asyncio.gather(*(runtime.start(job) for _ in range(4)))
    uid = (await cluster.job(job_name(job))).metadata.uid
    await runtime.start(job)

    assert (await cluster.job(job_name(job))).metadata.uid == uid
    assert [state.name for state in await runtime.jobs()] == [job_name(job)]


async def test_a_secret_that_a_crash_left_unmade_is_made_by_the_next_try(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job()
    await runtime.start(job)
    await cluster.core.delete_namespaced_secret(job_name(job), cluster.namespace)

    await runtime.start(job)

    [owner] = (await cluster.secret(job_name(job))).metadata.owner_references
    assert owner.uid == (await cluster.job(job_name(job))).metadata.uid


async def test_a_removed_job_takes_its_secret_along_and_may_be_removed_again(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job()
    await runtime.start(job)

    await runtime.remove(job_name(job))

    await eventually(lambda: _is_empty(cluster), within=60)
    await runtime.remove(job_name(job))


async def test_jobs_of_others_are_not_seen(runtime: Any, cluster: Cluster, make_job: MakeJob) -> None:
    container = {"name": "other", "image": "busybox:latest", "command": ["true"]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    body: Any = {"metadata": {"name": "other"}, "spec": {"template": {"spec": pod}}}
    await cluster.batch.create_namespaced_job(cluster.namespace, body)
    job = make_job()

    await runtime.start(job)

    assert [state.job_id for state in await runtime.jobs()] == [job.plan.job_id]


async def test_a_job_whose_pod_ended_is_not_alive(runtime: Any, make_job: MakeJob) -> None:
    # busybox has no python, so the pod cannot start; the deadline ends the Job, with or without a node.
    job = make_job(timeout=-119.0)

    await runtime.start(job)

    async def is_alive() -> bool:
        [state] = await runtime.jobs()
        return bool(state.alive)

    await eventually(lambda: _not(is_alive), within=60)


async def test_a_plan_too_large_for_a_secret_is_refused_and_leaves_nothing(runtime: Any, make_job: MakeJob) -> None:
    with pytest.raises(JobRefusedError, match="bytes"):
        await runtime.start(make_job(env={"BIG": os.urandom(1024 * 1024).hex()}))

    assert await runtime.jobs() == []


async def test_a_plan_larger_than_a_secret_is_given_compressed(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job(env={"BIG": "x" * 1024 * 1024})

    await runtime.start(job)

    [builder] = (await cluster.job(job_name(job))).spec.template.spec.containers
    [file] = [each.value for each in builder.env if each.name == "ESTAFETTE_PLAN_FILE"]
    data = (await cluster.secret(job_name(job))).data
    plan = zstandard.decompress(base64.b64decode(data[file.rpartition("/")[2]]))
    assert Plan.model_validate_json(plan) == job.plan


async def test_what_the_cluster_finds_invalid_is_refused(runtime: Any, make_job: MakeJob) -> None:
    with pytest.raises(JobRefusedError, match="422"):
        await runtime.start(make_job(job_id="Not A Name"))


async def test_a_quota_that_is_used_up_asks_for_a_later_try(runtime: Any, cluster: Cluster, make_job: MakeJob) -> None:
    quota: Any = {"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    await cluster.core.create_namespaced_resource_quota(cluster.namespace, quota)

    async def refused() -> bool:
        with pytest.raises(RuntimeUnavailableError, match="403"):
            await runtime.start(make_job())
        return True

    await eventually(refused, within=30)


async def test_who_may_not_list_jobs_cannot_tell_that_there_are_none(
    settings: RuntimeSettings, cluster: Cluster
) -> None:
    allowed = await cluster.api_of_nobody()
    runtime: Any = create_runtime(settings)
    runtime._api._client = allowed

    with pytest.raises(RuntimeUnavailableError, match="403"):
        await runtime.jobs()
    with pytest.raises(RuntimeUnavailableError, match="403"):
        await runtime.remove("build-7")
    await runtime.close()


async def test_the_secret_of_an_earlier_job_of_the_name_is_not_taken_for_ours(
    runtime: Any, cluster: Cluster, make_job: MakeJob
) -> None:
    job = make_job()
    body: Any = {"metadata": {"name": job_name(job)}, "data": {"plan.json": "e30=", "key": "AA=="}}
    await cluster.core.create_namespaced_secret(cluster.namespace, body)

    with pytest.raises(RuntimeUnavailableError, match="earlier Job"):
        await runtime.start(job)


async def test_the_pod_is_not_root_and_bounded(runtime: Any, cluster: Cluster, make_job: MakeJob) -> None:
    job = make_job()

    await runtime.start(job)

    pod = (await cluster.job(job_name(job))).spec.template.spec
    assert pod.security_context.run_as_non_root
    assert pod.containers[0].security_context.allow_privilege_escalation is False
    assert pod.containers[0].resources.requests == {"cpu": "500m", "memory": "256Mi"}
    assert pod.containers[0].resources.limits == {"cpu": "1", "memory": "8Gi"}


async def _is_empty(cluster: Cluster) -> bool:
    ours = [name for name in await cluster.jobs() if name.startswith("build-")]
    return not ours and not await cluster.secrets()


async def _not(look: Callable[[], Any]) -> bool:
    return not await look()
