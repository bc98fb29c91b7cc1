"""The whole system on this machine, with its jobs as pods of a cluster that reach it through their node's network."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import nats
import pytest
from estafette_local.environment import Options, command, of_service
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer, free_port
from estafette_local.stack import Stack
from kubernetes_asyncio import client, config

from tests.kubernetes.planting import Planting

BUILDER = "estafette/builder:latest"
"""The image of `docker compose build builder-host`."""


class Cluster:
    """A namespace of the tests' own, looked at with the client library directly."""

    def __init__(self, api: Any, namespace: str) -> None:
        self.namespace = namespace
        self.batch = client.BatchV1Api(api)
        self.core = client.CoreV1Api(api)

    async def pods(self, job_id: str) -> list[Any]:
        """Return the pods of all attempts of a job, the oldest first."""
        selector = f"estafette.io/job-id={job_id}"
        found = (await self.core.list_namespaced_pod(self.namespace, label_selector=selector)).items
        return sorted(found, key=lambda pod: (pod.metadata.labels["estafette.io/attempt"], pod.metadata.name))

    async def jobs(self, job_id: str) -> list[Any]:
        """Return the Jobs of all attempts of a job."""
        selector = f"estafette.io/job-id={job_id}"
        return list((await self.batch.list_namespaced_job(self.namespace, label_selector=selector)).items)


@pytest.fixture(scope="package")
async def cluster() -> AsyncIterator[Cluster]:
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG names no cluster to test against")
    configuration = client.Configuration()
    await config.load_kube_config(client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        cluster = Cluster(api, f"estafette-test-{uuid4().hex[:8]}")
        body: Any = {"metadata": {"name": cluster.namespace}}
        await cluster.core.create_namespace(body)
        yield cluster
        await cluster.core.delete_namespace(cluster.namespace)  # with all that is in it


@pytest.fixture(scope="package")
def git_url(data: Path) -> Iterator[str]:
    """The URL below which pods find the tests' repositories."""
    (data / "repositories").mkdir(exist_ok=True)
    port = free_port()
    daemon = subprocess.Popen(
        [
            *("git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", f"--port={port}"),
            *(f"--base-path={data / 'repositories'}", str(data / "repositories")),
        ],
        stderr=subprocess.DEVNULL,
    )
    yield f"git://127.0.0.1:{port}"
    daemon.terminate()
    daemon.wait()


@pytest.fixture(scope="package")
def stack_options(cluster: Cluster, git_url: str) -> Options:
    """One of everything, and no builder host."""
    if shutil.which("docker") and not _has_image():
        pytest.skip("there is no image of the builder; `docker compose build builder-host` makes it")
    nats = free_port()
    runtime = {
        "ESTAFETTE_RUNTIME": "kubernetes",
        "ESTAFETTE_KUBERNETES_NAMESPACE": cluster.namespace,
        "ESTAFETTE_BUILDER_IMAGE": BUILDER,
        "ESTAFETTE_BUILDER_CPU": "0.05",
        "ESTAFETTE_BUILDER_MEMORY": "100Mi",
        "ESTAFETTE_BUILDER_MEMORY_LIMIT": "200Mi",
        "ESTAFETTE_HOST_NETWORK": "true",
        "ESTAFETTE_JOB_NATS_URL": f"nats://127.0.0.1:{nats}",
        "ESTAFETTE_JOB_STAGE_RUNTIME": "process",
        "ESTAFETTE_NODE_LOSS_PATIENCE": "3",
        "ESTAFETTE_IMAGE_PATIENCE": "8",
        "ESTAFETTE_SCHEDULING_PATIENCE": "8",
        "ESTAFETTE_CANCEL_GRACE": "5",
        "ESTAFETTE_RUN_NAMESPACES": "true",
    }
    return Options(
        replicas={"builder-host": 0},
        ports={"nats": nats},
        clone_url=f"{git_url}/{{owner}}/{{name}}.git",
        settings={"*": runtime},
    )


@pytest.fixture
def dispatching(stack: Stack) -> Callable[..., AbstractContextManager[None]]:
    """Let one dispatcher with some settings of its own take the place of that of the stack for a while."""

    @contextmanager
    def dispatch(**settings: str) -> Iterator[None]:
        options = stack.options
        own = {f"ESTAFETTE_{name}".upper(): value for name, value in settings.items()}
        environment = of_service(stack.places, options, "job-dispatcher", 9, free_port()) | own
        stack.stop_one("job-dispatcher")
        with (stack.data / "logs" / "another-dispatcher.log").open("ab") as output:
            process = subprocess.Popen(command("job_dispatcher"), env=environment, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait()
            stack.start_one("job-dispatcher")

    return dispatch


class Held:
    """A manifest whose stage goes on when somebody says so; pods see it at the git server."""

    def __init__(self, repository: GitRepository, git_url: str) -> None:
        self._repository = repository
        url = f"{git_url}/{repository.owner}/{repository.name}.git"
        self.manifest = f"""\
stages:
  hold:
    image: busybox:latest
    commands:
    - echo "attempt begins"
    - until git ls-remote --exit-code {url} refs/heads/go >/dev/null; do sleep 0.2; done
    - echo "attempt goes on"
"""

    def release(self) -> None:
        self._repository.commit({"README": "go\n"}, branch="go")


@pytest.fixture
def held(repository: GitRepository, git_url: str) -> Held:
    return Held(repository, git_url)


@pytest.fixture
async def planting(nats_server: NatsServer, database_url: str) -> AsyncIterator[Planting]:
    connected = await nats.connect(nats_server.url)
    connection = await asyncpg.connect(database_url)
    planting = Planting(connection, connected.jetstream())
    await planting.prepare()
    yield planting
    await connection.close()
    await connected.close()


def _has_image() -> bool:
    asked = subprocess.run(["docker", "image", "inspect", BUILDER], capture_output=True, check=False)
    return asked.returncode == 0
