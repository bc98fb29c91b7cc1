"""The cleaner, as it is by itself, finds within a minute what is wrong, and touches nothing else."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from estafette_common.bus.messages.events import CleaningAction as Do
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.runtimes import JobSpec
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_common.jobs.runtimes.settings import RuntimeSettings, create_runtime
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from kubernetes_asyncio import client, config

from tests.kubernetes.planting import FOUND_WITHIN, Planting, cleaner, environment, plan

BUILD, RELEASE, BOT = Kind.BUILD, Kind.RELEASE, Kind.BOT
OVER_TIME = 1000 + 121.0
"""Seconds since the start of a job whose plan lets it run for 1000 s."""


class Host:
    """A builder host with jobs whose builders run, or ran."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "host.sock"
        self.runtime = LocalRuntime(self.socket)
        repository = GitRepository(folder / "git", "acme", "shop")
        self._revision = repository.commit({"README": "shop\n"})
        self._clone_url = f"file://{repository.path}"

    async def start(self, kind: Kind, job_id: str, command: str) -> None:
        """Run a job of one command."""
        planned = plan(kind, job_id, command, revision=self._revision, clone_url=self._clone_url)
        await self.runtime.start(JobSpec(plan=planned, key=bytes(32)))

    async def jobs(self) -> dict[str, bool]:
        """Return whether each job lives, by its id."""
        return {job.job_id: job.alive for job in await self.runtime.jobs()}

    async def has(self, job_id: str, *, alive: bool) -> bool:
        return (await self.jobs()).get(job_id) is alive


@pytest.fixture
async def host(folder: Path, nats_server: NatsServer) -> AsyncIterator[Host]:
    host = Host(folder)
    told = environment(
        NATS_URL=nats_server.url,
        LOCAL_SOCKET=str(host.socket),
        JOBS_DIR=str(folder / "jobs"),
        STAGE_RUNTIME="process",
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-m", "builder", "host", env=told)
    await eventually(lambda: _answers(host), within=20)
    yield host
    for job in await host.runtime.jobs():
        await host.runtime.remove(job.name)
    process.send_signal(signal.SIGTERM)
    await process.wait()


@pytest.mark.timeout(300)
async def test_ten_kinds_of_inconsistency_are_found_within_a_minute_and_nothing_else_is_touched(
    planting: Planting, host: Host, nats_server: NatsServer, database_url: str, folder: Path
) -> None:
    healthy = await _plant_healthy(planting, host)
    wrong = await _plant_wrong(planting, host)
    rows, told_before = await planting.rows(), len(await planting.stream("JOBS"))

    settings = {"NATS_URL": nats_server.url, "DATABASE_URL": database_url, "LOCAL_SOCKET": str(host.socket)}
    with cleaner(folder / "cleaner.log", **settings):
        await eventually(lambda: _found(planting, wrong), within=FOUND_WITHIN)
        removed = {job_id for job_id, do in wrong.items() if do is Do.JOB_REMOVED}
        await eventually(lambda: _gone(host, removed), within=10)

    told = {event.job_id: event.action for event in reversed(await planting.events())}  # the first of each counts:
    assert told == wrong  # once the job of what was canceled is removed, there is an end to note
    assert all(event.reason and not event.dry_run for event in await planting.events())
    asked = {command.job_id for command in await planting.commands()}
    may_be_asked = {job_id for job_id, do in wrong.items() if do in {Do.LOST, Do.CANCELED}}
    assert may_be_asked <= asked <= may_be_asked | removed
    again = [headers for _, _, headers in (await planting.stream("JOBS"))[told_before:]]
    assert [each["ce-type"] for each in again if each.get("ce-source") == "hanging-job-cleaner"] == [
        "estafette.job.finished.v1"
    ]
    assert await planting.rows() == rows
    assert healthy.items() <= (await host.jobs()).items()


class Cluster:
    """A namespace of the test's own. Its pods ask for more than any node has, so they wait for one."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.settings = RuntimeSettings(
            runtime="kubernetes", kubernetes_namespace=namespace, builder_cpu="5000", builder_cpu_limit="5000"
        )
        self.runtime = create_runtime(self.settings)
        self.core = client.CoreV1Api(api)
        self.batch = client.BatchV1Api(api)

    @property
    def namespace(self) -> str:
        return self.settings.kubernetes_namespace

    async def start(self, kind: Kind, job_id: str) -> str:
        """Start a job; returns the name of its Job."""
        name = await self.runtime.start(JobSpec(plan=plan(kind, job_id, "true"), key=bytes(32)))
        await eventually(lambda: self._has_pod(name), within=20)
        return name

    async def secret(self, job_id: str) -> None:
        """Let there be a Secret of a build without a Job."""
        body: Any = {"metadata": {"name": f"build-{job_id}", "labels": _labels(job_id)}}
        await self.core.create_namespaced_secret(self.namespace, body)

    async def pod(self, job_id: str) -> None:
        """Let there be a pod of a build without a Job."""
        containers = [{"name": "builder", "image": "busybox:latest"}]
        spec = {"containers": containers, "nodeSelector": {"kubernetes.io/hostname": "none"}}
        body: Any = {"metadata": {"name": f"build-{job_id}", "labels": _labels(job_id)}, "spec": spec}
        await self.core.create_namespaced_pod(self.namespace, body)

    async def take_secrets(self, job_name: str) -> None:
        """Take the Secrets of a Job away."""
        for secret in (await self.core.list_namespaced_secret(self.namespace)).items:
            if job_name in {owner.name for owner in secret.metadata.owner_references or []}:
                await self.core.delete_namespaced_secret(secret.metadata.name, self.namespace)

    async def names(self) -> set[tuple[str, str]]:
        """Return what there is."""
        lists: dict[str, Any] = {
            "Job": await self.batch.list_namespaced_job(self.namespace),
            "Secret": await self.core.list_namespaced_secret(self.namespace),
            "Pod": await self.core.list_namespaced_pod(self.namespace),
        }
        return {(what, item.metadata.name) for what, found in lists.items() for item in found.items}

    async def of(self, *job_names: str) -> set[tuple[str, str]]:
        """Return what there is of some Jobs."""
        return {(what, name) for what, name in await self.names() if name.startswith(job_names)}

    async def _has_pod(self, job_name: str) -> bool:
        return "Pod" in {what for what, _ in await self.of(job_name)}


@pytest.fixture
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
        await cluster.runtime.close()
        await cluster.core.delete_namespace(cluster.namespace)


@pytest.mark.timeout(300)
async def test_what_is_wrong_in_a_cluster_is_found_within_a_minute_and_nothing_else_is_touched(
    planting: Planting, cluster: Cluster, nats_server: NatsServer, database_url: str, folder: Path
) -> None:
    healthy = await planting.row(BUILD, "pending", dispatched=900)
    begun = await planting.row(RELEASE, "running", dispatched=900, started=900, heartbeat=-120)
    working = await planting.row(BUILD, "running", dispatched=900, started=900, heartbeat=-120)
    kept = [await cluster.start(BUILD, healthy), await cluster.start(RELEASE, begun)]
    await cluster.take_secrets(kept[1])  # what runs has read them
    await cluster.pod(working)
    foreign: Any = {"metadata": {"name": "foreign", "labels": {"createdBy": "estafette"}}}
    await cluster.core.create_namespaced_secret(cluster.namespace, foreign)
    stays = await cluster.names()

    helpless = await planting.row(BUILD, "pending", dispatched=0)
    ended = await planting.row(RELEASE, "failed", finished=55)
    stubborn = await planting.row(BOT, "canceling", dispatched=900, canceling=0)
    gone = await planting.row(BOT, "running", dispatched=900, started=900, heartbeat=0)
    await cluster.take_secrets(await cluster.start(BUILD, helpless))
    for kind, job_id in ((RELEASE, ended), (BOT, stubborn), (BUILD, "7")):
        await cluster.start(kind, job_id)
    secrets_owner = await planting.row(BUILD, "succeeded", finished=900)
    await cluster.secret(secrets_owner)
    await cluster.pod("8")
    rows = await planting.rows()

    settings = {"NATS_URL": nats_server.url, "DATABASE_URL": database_url}
    where = {"RUNTIME": "kubernetes", "KUBERNETES_NAMESPACE": cluster.namespace}
    wrong = {
        helpless: Do.JOB_REMOVED,
        ended: Do.JOB_REMOVED,
        stubborn: Do.JOB_REMOVED,
        "7": Do.JOB_REMOVED,
        gone: Do.LOST,
        secrets_owner: Do.LEFTOVER_REMOVED,
        "8": Do.LEFTOVER_REMOVED,
    }
    with cleaner(folder / "cleaner.log", **settings, **where):
        await eventually(lambda: _found(planting, wrong), within=FOUND_WITHIN)
        await eventually(lambda: _is(cluster.names, stays), within=30)

    assert {event.job_id: event.action for event in reversed(await planting.events())} == wrong
    assert await planting.rows() == rows


async def _plant_healthy(planting: Planting, host: Host) -> dict[str, bool]:
    """Plant what looks much like what is wrong; returns the jobs of it, and whether they live."""
    await planting.row(BUILD, "running", dispatched=900, started=900, heartbeat=-120)
    await planting.row(BUILD, "pending", inserted=-120)
    await planting.row(RELEASE, "succeeded", finished=900)
    await planting.row(BOT, "canceling", dispatched=900, canceling=-120)
    silent = await planting.row(RELEASE, "running", dispatched=900, started=900, heartbeat=800)
    kept = await planting.row(BOT, "failed", finished=-120)
    await host.start(RELEASE, silent, "sleep 300")
    await host.start(BOT, kept, "true")
    await eventually(lambda: host.has(kept, alive=False), within=30)
    return {silent: True, kept: False}


async def _plant_wrong(planting: Planting, host: Host) -> dict[str, Do]:
    """Plant what is wrong as of now; returns what is to be done about each."""
    over_time = await planting.row(BOT, "running", dispatched=OVER_TIME, started=OVER_TIME, heartbeat=0)
    await planting.request(plan(BOT, over_time))
    stubborn = await planting.row(RELEASE, "canceling", dispatched=900, started=900, canceling=0)
    ended = await planting.row(BOT, "succeeded", finished=55)
    died = await planting.row(RELEASE, "running", dispatched=900, started=900, heartbeat=0)
    nobodys = "7"
    for kind, job_id in ((BOT, over_time), (RELEASE, stubborn), (BOT, ended), (BUILD, nobodys)):
        await host.start(kind, job_id, "sleep 300")
    await host.start(RELEASE, died, "true")
    await eventually(lambda: host.has(died, alive=False), within=30)
    await planting.forget_end(RELEASE, died)
    unheard = await planting.row(RELEASE, "running", dispatched=900, started=900, heartbeat=0)
    await planting.finish(RELEASE, unheard, handled=True)
    return {
        await planting.row(BUILD, "running", dispatched=900, started=900, heartbeat=0): Do.LOST,  # no job
        died: Do.LOST,  # its builder ended without a word
        await planting.row(BOT, "pending", inserted=0): Do.LOST,  # never requested
        await planting.row(BUILD, "pending", dispatched=0): Do.LOST,  # its job went before it began
        await planting.row(BUILD, "canceling", dispatched=900, canceling=0): Do.LOST,  # nothing is left to be canceled
        stubborn: Do.JOB_REMOVED,  # canceled, and does not end
        ended: Do.JOB_REMOVED,  # ended, and its job lives on
        nobodys: Do.JOB_REMOVED,  # a job of nothing
        unheard: Do.TOLD_AGAIN,  # its end was told, and not noted
        over_time: Do.CANCELED,  # runs longer than it may
    }


async def _found(planting: Planting, wrong: dict[str, Do]) -> bool:
    missing = {job_id: do for job_id, do in wrong.items() if job_id not in await _told(planting)}
    assert not missing
    return True


async def _told(planting: Planting) -> set[str]:
    return {event.job_id for event in await planting.events()}


def _labels(job_id: str) -> dict[str, str]:
    return {"createdBy": "estafette", "jobType": "build", "estafette.io/job-id": job_id}


async def _is(look: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await look() == wanted


async def _gone(host: Host, removed: set[str]) -> bool:
    return not removed & (await host.jobs()).keys()


async def _answers(host: Host) -> bool:
    await host.runtime.jobs()
    return True
