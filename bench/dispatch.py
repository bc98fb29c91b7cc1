"""What 1,000 jobs requested at once cost job-dispatcher and the API server of Kubernetes.

`make bench-dispatch`, with real NATS, guarded as in an installation, and the cluster that KUBECONFIG names. No node can
take the pods, so that the figures are those of dispatching; all the same each pod is seen, and told of. The processes
are the service as it is, without a limit of its rate; first one of them, then two at once.
"""

import argparse
import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import nats
from estafette_common.bus import accounts
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.jobs.runtimes.settings import RuntimeSettings, create_runtime
from estafette_common.manifest.secrets import encrypt, seal_key
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from kubernetes_asyncio import client, config
from nats.js import JetStreamContext

SECRET_KEY = bytes(range(32))
JOB_KEY = bytes(reversed(range(32)))

MOST_SECONDS = 60.0
MOST_CALLS = 4.0
"""For each job."""
MOST_MEMORY = 150.0
"""MB of one process."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one round took."""

    processes: int
    seconds: float
    jobs: int
    """That the API server has, of different names."""
    calls: float
    """For each job, by all processes."""
    memory: float
    """MB of the largest process at its largest."""

    def keeps(self, wanted: int) -> bool:
        return (
            self.jobs == wanted
            and self.seconds <= MOST_SECONDS
            and self.calls <= MOST_CALLS
            and self.memory <= MOST_MEMORY
        )


def request() -> JobRequested:
    """Return the request of a build whose builder is pulled from a registry that asks for a password."""
    job_id = str(uuid4().int >> 65)
    login = {"repository": "registry.example.com", "username": "bob", "password": encrypt("a password", key=JOB_KEY)}
    plan = Plan(
        kind=Kind.BUILD,
        job_id=job_id,
        repository=Repository(source="github.com", owner="acme", name="shop"),
        branch="main",
        revision="c" * 40,
        clone_url="https://github.com/acme/shop.git",
        version=Version(version="1.0.7", counter=7),
        stages=tuple(
            PlannedStage(name=f"stage-{number}", image="golang:1.22", commands=("go build ./...", "go test ./..."))
            for number in range(8)
        ),
        credentials=({"name": "pull", "type": "container-registry-pull", "additionalProperties": login},),
    )
    sealed = seal_key(JOB_KEY, secret_key=SECRET_KEY, job_id=job_id)
    return JobRequested(kind=Kind.BUILD, job_id=job_id, plan=plan, sealed_key=sealed)


@asynccontextmanager
async def namespace() -> AsyncIterator[str]:
    """Give a namespace that is deleted afterwards."""
    configuration = client.Configuration()
    await config.load_kube_config(client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        core, name = client.CoreV1Api(api), f"estafette-bench-{uuid4().hex[:8]}"
        body: Any = {"metadata": {"name": name}}
        await core.create_namespace(body)
        try:
            yield name
        finally:
            await core.delete_namespace(name)
            await eventually(lambda: _is_gone(core, name), within=600)


async def _is_gone(core: Any, name: str) -> bool:
    found = await core.list_namespace(field_selector=f"metadata.name={name}")
    return not found.items


async def is_ready(port: int) -> bool:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/readiness") as answer:
        return answer.status == 200


async def calls_of(port: int) -> float:
    """Return how often a dispatcher called the API server, to list and to watch, too."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        found = re.findall(r"^estafette_kubernetes_calls_total\{.*\} (\S+)$", await answer.text(), re.MULTILINE)
    return sum(map(float, found))


def largest_memory(pid: int) -> float:
    """Return MB of memory that a process had at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


async def is_drained(jetstream: JetStreamContext) -> bool:
    info = await jetstream.consumer_info("JOBS", "dispatcher-job-requested")
    return not (info.num_pending or info.num_ack_pending)


async def told_of(jetstream: JetStreamContext, what: str) -> int:
    """Return of how many jobs something was told."""
    info = await jetstream.stream_info("JOBS", subjects_filter=f"job.*.*.{what}")
    return len(info.state.subjects or {})


@dataclass(frozen=True, slots=True)
class Scene:
    """Where dispatchers find their work."""

    server: NatsServer
    namespace: str
    jetstream: JetStreamContext
    publisher: JetStreamPublisher


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Give an empty NATS server and an empty namespace."""
    server = NatsServer(Path(tempfile.mkdtemp(dir=folder)), guarded=True)
    server.start()
    assert server.accounts is not None
    credential = str(server.accounts / accounts.SERVICES_CREDENTIAL)
    connected = await nats.connect(server.url, user_credentials=credential)
    try:
        async with namespace() as place:
            await declare(connected.jetstream(), [])
            publisher = JetStreamPublisher(connected, source="bench")
            await publisher.start()
            yield Scene(server, place, connected.jetstream(), publisher)
    finally:
        await connected.close()
        server.stop()


@contextmanager
def dispatcher(scene: Scene, folder: Path) -> Iterator[tuple[int, int]]:
    """Run job-dispatcher; gives its process id and its port."""
    port = free_port()
    server = scene.server
    assert server.accounts is not None
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")},
        "ESTAFETTE_NATS_URL": server.url,
        "ESTAFETTE_NATS_CREDENTIALS": str(server.accounts / accounts.SERVICES_CREDENTIAL),
        "ESTAFETTE_NATS_JOBS_SEED_FILE": str(server.accounts / accounts.JOBS_SEED),
        "ESTAFETTE_HOST": "127.0.0.1",
        "ESTAFETTE_PORT": str(port),
        "ESTAFETTE_SECRET_KEY": base64.b64encode(SECRET_KEY).decode(),
        "ESTAFETTE_RUNTIME": "kubernetes",
        "ESTAFETTE_KUBERNETES_NAMESPACE": scene.namespace,
        "ESTAFETTE_KUBERNETES_RATE": "0",
        "ESTAFETTE_JOB_PLACEMENT": json.dumps({"build": {"nodeSelector": {"estafette.io/nowhere": "true"}}}),
    }
    with (folder / f"dispatcher-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "job_dispatcher"], env=environment, stdout=log, stderr=log
        )
    try:
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


async def measure(count: int, processes: int, folder: Path) -> Figures:
    """Request jobs at once and return what it took."""
    requests = [request() for _ in range(count)]
    async with scene(folder) as here:
        with ExitStack() as held:
            running = [held.enter_context(dispatcher(here, folder)) for _ in range(processes)]
            for _, port in running:
                await eventually(partial(is_ready, port), within=60)
            began = time.perf_counter()
            for first in range(0, count, 100):
                await here.publisher.publish_all({each.job_id: each for each in requests[first : first + 100]})
            await eventually(lambda: is_drained(here.jetstream), within=600)
            seconds = time.perf_counter() - began
            calls = sum([await calls_of(port) for _, port in running]) / count
            await eventually(lambda: _are_seen(here.jetstream, count), within=600)
            memory = max(largest_memory(pid) for pid, _ in running)
        runtime = create_runtime(RuntimeSettings(runtime="kubernetes", kubernetes_namespace=here.namespace))
        names = {job.name for job in await runtime.jobs()}
        await runtime.close()
    return Figures(processes, seconds, len(names), calls, memory)


async def _are_seen(jetstream: JetStreamContext, count: int) -> bool:
    return await told_of(jetstream, "waiting") >= count


async def main(count: int) -> bool:
    print("| processes | jobs | seconds | jobs/s | calls a job | most memory of one, MB |")
    print("|---|---|---|---|---|---|")
    kept = True
    with tempfile.TemporaryDirectory(prefix="estafette-") as folder:
        for processes in (1, 2):
            found = await measure(count, processes, Path(folder))
            rate = found.jobs / found.seconds
            print(
                f"| {found.processes} | {found.jobs:,} | {found.seconds:.1f} | {rate:.0f} | {found.calls:.2f} "
                f"| {found.memory:.0f} |",
                flush=True,
            )
            kept = kept and found.keeps(count)
    print(f"\nAimed at: {MOST_SECONDS:.0f} s, {MOST_CALLS:.0f} calls a job, {MOST_MEMORY:.0f} MB, each job once.")
    return kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="jobs")
    chosen = parser.parse_args()
    if "KUBECONFIG" not in os.environ:
        sys.exit("KUBECONFIG must name a cluster")
    sys.exit(not asyncio.run(main(chosen.count)))
