"""A namespace that a build has for itself, on a real cluster."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import RunNamespace
from estafette_common.jobs.runtimes import JobRefusedError, JobSpec
from estafette_common.jobs.runtimes.namespaces import OWNER, RunNamespaces, names, owner
from kubernetes_asyncio import client, config

from tests.kubernetes.planting import plan

pytestmark = pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster to test against")


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


async def test_where_it_is_not_allowed_a_job_that_asks_for_one_is_refused(home: str) -> None:
    closed = RunNamespaces(home=home, allowed=False, role="edit")

    with pytest.raises(JobRefusedError, match="ESTAFETTE_RUN_NAMESPACES"):
        await closed.prepare(job())

    await closed.close()


async def test_a_job_that_asks_for_none_is_as_it_was(namespaces: RunNamespaces) -> None:
    asks = job()
    build = replace(asks, plan=asks.plan.model_copy(update={"run_namespace": None}))

    assert await namespaces.prepare(build) == (build, {})


@pytest.mark.parametrize(
    ("version", "branch", "begins"),
    [
        ("1.0.7", "main", "run-1-0-7-main-"),
        ("1.0.7-Feature", "Feature/Ünicode_x", "run-1-0-7-feature-feature--nicode-x-"),
        ("1.0.7", "b" * 300, "run-1-0-7-" + "b" * 44 + "-"),
        ("1", "-", "run-1-"),
    ],
)
def test_names_are_dns_labels_that_say_what_runs(version: str, branch: str, begins: str) -> None:
    build = job().plan
    planned = build.model_copy(
        update={"branch": branch, "version": build.version.model_copy(update={"version": version})}
    )

    found = list(names(planned))

    assert all(name.startswith(begins) and len(name) == len(begins) + 8 <= 63 for name in found)
    assert len(set(found)) == len(found)
