"""A namespace that a build has for itself, on a real cluster."""

import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import RunNamespace
from estafette_common.jobs.runtimes import JobSpec
from estafette_common.jobs.runtimes.namespaces import OWNER, RunNamespaces, names, owner
from estafette_local.people import Delivery, GitRepository, Person
from estafette_local.waiting import eventually
from kubernetes_asyncio import client, config

from tests.kubernetes.planting import plan

pytestmark = pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster to test against")

MANIFEST = """\
runNamespace:
  ephemeral: true
  disposal: {ttl: 1h}
stages:
  use:
    image: busybox:latest
    commands:
    - python3 write.py
"""

WRITE = """\
import json, os, ssl, urllib.request

config = json.load(open(os.environ["KUBECONFIG"]))
server, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
namespace = os.environ["ESTAFETTE_RUN_NAMESPACE"]
data = {"namespace": namespace, "labels": open("/job-context/labels").read()}
request = urllib.request.Request(
    f"{server}/api/v1/namespaces/{namespace}/configmaps",
    json.dumps({"metadata": {"name": "written"}, "data": data}).encode(),
    {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
)
print(urllib.request.urlopen(request, context=ssl._create_unverified_context()).status)
"""


@pytest.fixture
async def core() -> AsyncIterator[Any]:
    configuration = client.Configuration()
    await config.load_kube_config(client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        yield client.CoreV1Api(api)


@pytest.fixture
async def home(core: Any) -> AsyncIterator[str]:
    """The name of a namespace of jobs; those of its runs go with it."""
    home = f"estafette-test-{uuid4().hex[:8]}"
    yield home
    for each in (await core.list_namespace(label_selector=f"estafette.io/jobs-namespace={home}")).items:
        await core.delete_namespace(each.metadata.name)


@pytest.fixture
async def namespaces(home: str) -> AsyncIterator[RunNamespaces]:
    namespaces = RunNamespaces(home=home, allowed=True, role="edit")
    yield namespaces
    await namespaces.close()


def job(**wanted: Any) -> JobSpec:
    planned = plan(Kind.BUILD, str(uuid4().int >> 65), "true")
    return JobSpec(plan=planned.model_copy(update={"run_namespace": RunNamespace(**wanted)}), key=bytes(32))


def told(prepared: JobSpec) -> str:
    return prepared.plan.env["ESTAFETTE_RUN_NAMESPACE"]


async def test_a_run_gets_a_namespace_that_says_whose_it_is(namespaces: RunNamespaces, core: Any) -> None:
    build = job(ttl=60.0)

    prepared, _ = await namespaces.prepare(build)

    metadata = (await core.read_namespace(told(prepared))).metadata
    assert metadata.annotations[OWNER] == owner(build.plan)
    assert metadata.annotations["estafette.io/pipeline"] == "github.com/acme/shop"
    assert metadata.labels["estafette.io/job-id"] == build.plan.job_id
    assert json.loads(metadata.annotations["estafette.io/disposal"])["ttl"] == 60


async def test_whoever_starts_a_run_again_finds_its_namespace(namespaces: RunNamespaces, home: str) -> None:
    build = job()
    other = RunNamespaces(home=home, allowed=True, role="edit")

    first, _ = await namespaces.prepare(build)
    again, _ = await other.prepare(replace(build, attempt=2))
    await other.close()

    assert told(first) == told(again)


async def test_a_name_that_is_taken_is_passed_over(namespaces: RunNamespaces, core: Any, home: str) -> None:
    build = job()
    taken, free, *_ = names(build.plan)
    foreign: Any = {"metadata": {"name": taken, "labels": {"estafette.io/jobs-namespace": home}}}
    await core.create_namespace(foreign)

    prepared, _ = await namespaces.prepare(build)

    assert told(prepared) == free


async def test_two_runs_never_share_one(namespaces: RunNamespaces) -> None:
    first, _ = await namespaces.prepare(job())
    second, _ = await namespaces.prepare(job())

    assert told(first) != told(second)


async def test_a_run_may_work_in_its_namespace_and_nowhere_else(namespaces: RunNamespaces, home: str) -> None:
    prepared, files = await namespaces.prepare(job())
    other, _ = await namespaces.prepare(job())
    configuration = client.Configuration()
    await config.load_kube_config_from_dict(json.loads(files["kubeconfig"]), client_configuration=configuration)

    async with client.ApiClient(configuration) as api:
        own = client.CoreV1Api(api)
        body: Any = {"metadata": {"name": "mine"}}
        await own.create_namespaced_config_map(told(prepared), body)
        refused = []
        for namespace in (told(other), home, "default"):
            with pytest.raises(client.ApiException) as caught:
                await own.list_namespaced_secret(namespace)
            refused.append(caught.value.status)

    assert refused == [403, 403, 403]


async def test_a_job_that_asks_for_none_is_as_it_was(namespaces: RunNamespaces) -> None:
    asks = job()
    build = replace(asks, plan=asks.plan.model_copy(update={"run_namespace": None}))

    assert await namespaces.prepare(build) == (build, {})


async def test_the_stages_of_a_build_work_in_its_namespace_which_comes_to_rest_with_it(
    person: Person, repository: GitRepository, push: Callable[..., tuple[str, Delivery]], core: Any
) -> None:
    _, delivery = push({".estafette.yaml": MANIFEST, "write.py": WRITE})
    assert await person.deliver(delivery) == 200
    build = await eventually(lambda: _ended(person, repository), within=100)

    selector = f"estafette.io/job-id={build['id']}"
    [namespace] = (await core.list_namespace(label_selector=selector)).items
    assert build["buildStatus"] == "succeeded"
    written = (await core.read_namespaced_config_map("written", namespace.metadata.name)).data
    assert written["namespace"] == namespace.metadata.name
    assert f'estafette.io/job-id="{build["id"]}"' in written["labels"]
    await eventually(lambda: _rests(core, namespace.metadata.name), within=60)
    await core.delete_namespace(namespace.metadata.name)


async def _ended(person: Person, repository: GitRepository) -> dict[str, Any] | None:
    builds = await person.builds(repository)
    return next((build for build in builds if build["buildStatus"] in {"succeeded", "failed", "canceled"}), None)


async def _rests(core: Any, namespace: str) -> bool:
    return "estafette.io/scaled-down-at" in (await core.read_namespace(namespace)).metadata.annotations
