"""What the builder adds to a job: log throughput and memory in a flood, time per stage, time to start.

`make bench-builder`. A builder host, nats-server and the stages share the machine, so trust the ratios. In a flood, a
stage prints two million lines of 80 characters, and a secret is looked for in each; counted from the beginning of the
stage until JetStream stored the log's end. Beside it, the same lines go through a pipe to a program that only reads
them, or from a container through the engine. A stage is counted beside the bare calls to the engine: create, start,
wait, remove; a start beside that of Python with the same libraries. Of several rounds taken in turns the best is
shown, because other work disturbs in one direction only; of the many stages the median.

It is run with `python -P`, or it would stand for the package of its name.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import aiodocker
from builder.runtimes import docker
from estafette_common.bus.messages.logs import Change, End, LogChunk
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.jobs.runtimes import JobSpec
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_common.manifest import secrets
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from nats.aio.client import Client
from nats.js import JetStreamContext

IMAGE = "busybox:latest"
KEY = bytes(range(32))

LINES, TIMES = 2_000, 1_000
"""A file of so many lines is printed so many times."""
PRINT = f"cat $(yes lines.txt | head -n {TIMES})"
FLOOD = LINES * TIMES

QUICK_STAGES = 10

LIBRARIES = (
    "aiodocker, lark, msgspec, nats, opentelemetry.sdk.trace, pydantic_settings, re2, structlog, yaml, zstandard"
)

RATE_TARGET = 150_000.0
MEMORY_TARGET = 150.0
STAGE_TARGETS = (1.10, 25.0)
START_TARGET = 0.8
"""Lines/s; MB; times the bare calls, and ms above them; seconds."""


@dataclass
class Flood:
    """What was seen of a flood."""

    rate: float
    """Lines/s."""
    memory: float
    """MB that the builder had at most."""
    processor: float
    """Microseconds of processor time that the builder took for a line."""


@dataclass
class Results:
    """What was seen, round by round."""

    floods: dict[str, list[Flood]] = field(default_factory=dict)
    bare: dict[str, list[float]] = field(default_factory=dict)
    """Lines/s without the builder."""
    stage: list[float] = field(default_factory=list)
    bare_stage: list[float] = field(default_factory=list)
    """Milliseconds of each stage, and of each time the calls to the engine were made."""
    start: dict[str, list[float]] = field(default_factory=dict)
    bare_start: list[float] = field(default_factory=list)
    """Seconds."""


def lines() -> str:
    """Return lines as a build prints them, 80 characters each."""
    random = Random(1)
    words = ["compile", "link", "test", "ok", "src/shop/basket.c", "include/route.h", "warning:", "passed", "cached"]

    def line(number: int) -> str:
        text = f"{number:06d} {random.randrange(1000):3d} ms {' '.join(random.choices(words, k=12))}"
        return text[:80].ljust(80, ".")

    return "".join(f"{line(number)}\n" for number in range(LINES))


class Bench:
    """A builder host with real servers."""

    def __init__(self, root: Path, nats: NatsServer, client: Client) -> None:
        self._root = root
        self._nats = nats
        self._client = client
        self._jobs = 0
        self._runtime = LocalRuntime(root / "host.sock")
        self._repository = GitRepository(root / "git", "acme", "shop")
        self._revision = self._repository.commit({"lines.txt": lines()})
        self.text = root / "lines.txt"
        self.text.write_text(lines())

    @property
    def _jetstream(self) -> JetStreamContext:
        return self._client.jetstream()

    def environment(self, stage_runtime: str, **settings: str) -> dict[str, str]:
        """Return what a builder is started with."""
        ours = {
            "nats_url": self._nats.url,
            "local_socket": str(self._root / "host.sock"),
            "jobs_dir": str(self._root / "jobs"),
            "stage_runtime": stage_runtime,
            "log_level": "error",
        } | settings
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
        return inherited | {f"ESTAFETTE_{name.upper()}": value for name, value in ours.items()}

    def plan(self, *stages: PlannedStage) -> Plan:
        """Return the plan of another job."""
        self._jobs += 1
        return Plan(
            kind=Kind.BUILD,
            job_id=str(self._jobs),
            repository=Repository(source="github.com", owner="acme", name="shop"),
            branch="main",
            revision=self._revision,
            clone_url=f"file://{self._repository.path}",
            version=Version(version="1.0.7", counter=7),
            stages=stages,
        )

    async def run(self, stage_runtime: str, plan: Plan, *, watch: Callable[[int], None] | None = None) -> float:
        """Run a job by a host of its own, and show its builder's process to whoever watches.

        Returns when the host was asked to start it, in seconds since 1970.
        """
        environment = self.environment(stage_runtime)
        host = await asyncio.create_subprocess_exec(sys.executable, "-m", "builder", "host", env=environment)
        try:
            await eventually(self._answers, within=30)
            began = time.time()
            await self._runtime.start(JobSpec(plan=plan, key=KEY, traceparent=""))
            job = self._root / "jobs" / plan.job_name
            pid = await eventually(lambda: _read_pid(job), within=10)
            while not (job / "done").exists():
                if watch is not None:
                    with suppress(OSError):  # it ended
                        watch(pid)
                await asyncio.sleep(0.02)
            await self._runtime.remove(plan.job_name)
            return began
        finally:
            host.terminate()
            await host.wait()

    async def _answers(self) -> bool:
        await self._runtime.jobs()
        return True

    async def log(self, plan: Plan) -> tuple[list[Change], datetime, int]:
        """Return the changes in a log, when JetStream stored its end, and how many entries it has."""
        changes: list[Change] = []
        entries = 0
        subscription = await self._jetstream.subscribe(f"log.{plan.kind}.{plan.job_id}", ordered_consumer=True)
        while True:
            message = await subscription.next_msg(timeout=30)
            chunk = LogChunk.decode(message.data)
            entries += len(chunk.entries)
            changes += [entry for entry in chunk.entries if isinstance(entry, Change)]
            if isinstance(chunk.entries[-1], End):
                await subscription.unsubscribe()
                return changes, message.metadata.timestamp, entries

    async def flood(self, stage_runtime: str) -> Flood:
        """Let a stage print two million lines."""
        sealed = secrets.encrypt("hunter2-hunter2-hunter2", key=KEY)
        stage = PlannedStage(name="flood", image=IMAGE, commands=(PRINT,), env={"TOKEN": sealed})
        plan, memory, processor = self.plan(stage), [0.0], [0.0]

        def watch(pid: int) -> None:
            memory.append(_peak_memory(pid))
            processor.append(_processor_time(pid))

        await self.run(stage_runtime, plan, watch=watch)
        changes, stored, entries = await self.log(plan)
        if entries < FLOOD:
            sys.exit(f"lines are missing: {entries:,} entries of {FLOOD:,} lines")
        seconds = (stored - _beginning("flood", changes)).total_seconds()
        return Flood(rate=FLOOD / seconds, memory=max(memory), processor=max(processor) * 1e6 / FLOOD)

    async def stages(self) -> list[float]:
        """Return the milliseconds of stages in containers that do nothing, one after the other."""
        plan = self.plan(
            *(PlannedStage(name=f"quick-{number}", image=IMAGE, commands=("true",)) for number in range(QUICK_STAGES))
        )
        await self.run("docker", plan)
        changes, _, _ = await self.log(plan)
        quick = [change for change in changes if change.status == "SUCCEEDED" and change.stage.startswith("quick")]
        return [(_time(end) - _time(before)).total_seconds() * 1000 for before, end in pairwise(quick)]

    async def start(self, stage_runtime: str) -> float:
        """Return the seconds from starting a builder as a process of its own until its first stage runs."""
        plan = self.plan(PlannedStage(name="first", image=IMAGE, commands=("true",)))
        folder = self._root / f"alone-{plan.job_id}"
        folder.mkdir()
        (folder / "plan.json").write_text(plan.model_dump_json())
        (folder / "key").write_bytes(KEY)
        environment = self.environment(
            stage_runtime,
            plan_file=str(folder / "plan.json"),
            key_file=str(folder / "key"),
            workspace=str(folder / "workspace"),
        )
        began = time.time()
        command = [sys.executable, "-m", "builder", "run"]
        await asyncio.to_thread(subprocess.run, command, env=environment, check=True)
        changes, _, _ = await self.log(plan)
        return _beginning("first", changes).timestamp() - began

    async def forked_start(self, stage_runtime: str) -> float:
        """Return the seconds from asking a builder host for a job until its first stage runs."""
        plan = self.plan(PlannedStage(name="first", image=IMAGE, commands=("true",)))
        began = await self.run(stage_runtime, plan)
        changes, _, _ = await self.log(plan)
        return _beginning("first", changes).timestamp() - began


async def _read_pid(job: Path) -> int:
    return int((job / "pid").read_text().split()[0])


def _peak_memory(pid: int) -> float:
    """Return the MB of memory that a process had at most (proc(5), VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1000 if "VmHWM:" in status else 0.0


def _processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process took (proc(5), utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _beginning(stage: str, changes: list[Change]) -> datetime:
    """Return when a stage began to run."""
    return next(_time(change) for change in changes if (change.stage, change.status) == (stage, "RUNNING"))


def _time(change: Change) -> datetime:
    return datetime.fromisoformat(change.time[:26] + "+00:00")


async def bare_pipe(text: Path) -> float:
    """Return how many lines/s go through a pipe to a program that only reads them."""
    began = time.perf_counter()
    script = PRINT.replace("lines.txt", str(text)) + " | wc -l"
    counted = await asyncio.to_thread(subprocess.check_output, ["sh", "-c", script])
    return int(counted) / (time.perf_counter() - began)


async def bare_flood(engine: aiodocker.Docker, text: Path) -> float:
    """Return how many lines/s of a container the engine gives to one who only reads them."""
    configuration: dict[str, Any] = {
        "Image": IMAGE,
        "Cmd": ["sh", "-c", PRINT.replace("lines.txt", "/lines.txt")],
        "HostConfig": {"Binds": [f"{text}:/lines.txt:ro"]},
    }
    container = await engine.containers.create(configuration)
    try:
        seen = 0
        async with container.attach(stdout=True, stderr=True, logs=False) as stream:
            began = time.perf_counter()
            await container.start()
            while (frame := await stream.read_out()) is not None:
                seen += frame.data.count(b"\n")
        return seen / (time.perf_counter() - began)
    finally:
        await container.delete(force=True)


async def bare_stages(engine: aiodocker.Docker) -> list[float]:
    """Return the milliseconds that the engine takes for containers that do nothing, one after the other."""
    found = []
    for _ in range(QUICK_STAGES):
        began = time.perf_counter()
        container = await engine.containers.create({"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"Init": True}})
        await container.start()
        await container.wait()
        await container.delete(force=True)
        found.append((time.perf_counter() - began) * 1000)
    return found


async def bare_start() -> float:
    """Return the seconds that Python takes to start and to load the libraries that a builder uses."""
    began = time.perf_counter()
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", f"import {LIBRARIES}"], check=True)
    return time.perf_counter() - began


async def measure(bench: Bench, *, rounds: int) -> Results:
    """Return what was seen, each thing in turns with what it is compared with."""
    results = Results()

    async def add(where: dict[str, list[float]], name: str, value: Awaitable[float]) -> None:
        where.setdefault(name, []).append(await value)

    engine = await _engine()
    for _ in range(rounds):
        results.bare_start.append(await bare_start())
        await add(results.bare, "process", bare_pipe(bench.text))
        results.floods.setdefault("process", []).append(await bench.flood("process"))
        await add(results.start, "process, a process of its own", bench.start("process"))
        await add(results.start, "process, by the builder host", bench.forked_start("process"))
        if engine is not None:
            await add(results.bare, "docker", bare_flood(engine, bench.text))
            results.floods.setdefault("docker", []).append(await bench.flood("docker"))
            results.bare_stage += await bare_stages(engine)
            results.stage += await bench.stages()
            await add(results.start, "docker, a process of its own", bench.start("docker"))
            await add(results.start, "docker, by the builder host", bench.forked_start("docker"))
    if engine is not None:
        await engine.close()
    return results


async def _engine() -> aiodocker.Docker | None:
    engine = await docker.connect()
    if engine is None:
        return None
    try:
        await engine.images.inspect(IMAGE)
    except aiodocker.DockerError:
        await engine.close()
        return None
    return engine


def report(results: Results) -> bool:
    """Print the tables; return whether every target is met."""
    met = True
    print("| flood | lines/s | without the builder | ratio | peak memory MB | processor µs/line |")
    print("|---|---|---|---|---|---|")
    for name, floods in results.floods.items():
        best = max(floods, key=lambda flood: flood.rate)
        bare, memory = max(results.bare[name]), max(flood.memory for flood in floods)
        row = f"{best.rate:,.0f} | {bare:,.0f} | {best.rate / bare:.2f} | {memory:.0f} | {best.processor:.2f}"
        print(f"| {name} | {row} |")
        met &= best.rate >= RATE_TARGET and memory <= MEMORY_TARGET
    print("\n| time | builder | without it | ratio | above it |")
    print("|---|---|---|---|---|")
    if results.stage:
        ours, bare = statistics.median(results.stage), statistics.median(results.bare_stage)
        ratio = f"{ours / bare:.2f} | {ours - bare:.0f} ms"
        print(f"| docker: a stage that does nothing | {ours:.0f} ms | {bare:.0f} ms | {ratio} |")
        met &= ours <= STAGE_TARGETS[0] * bare and ours - bare <= STAGE_TARGETS[1]
    for name, seconds in results.start.items():
        ours, bare = min(seconds), min(results.bare_start)
        ratio = f"{ours / bare:.2f} | {ours - bare:.2f} s"
        print(f"| start to first stage: {name} | {ours:.2f} s | {bare:.2f} s | {ratio} |")
        met &= min(seconds) <= START_TARGET
    factor, milliseconds = STAGE_TARGETS
    print(
        f"\nTargets: at least {RATE_TARGET:,.0f} lines/s with at most {MEMORY_TARGET:.0f} MB; a stage takes at most "
        f"{factor} x the engine's time and {milliseconds:.0f} ms more; the first stage runs within {START_TARGET} s."
    )
    return met


async def run(folder: Path, *, rounds: int) -> Results:
    """Measure with servers of its own."""
    nats = NatsServer(folder / "nats")
    nats.start()
    client = Client()
    try:
        await client.connect(nats.url)
        await declare(client.jetstream(), [])
        return await measure(Bench(folder, nats, client), rounds=rounds)
    finally:
        await client.close()
        nats.stop()


def main() -> None:
    """Measure, print the tables, and end with 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    folder = Path(tempfile.mkdtemp(prefix="estafette-bench-"))
    folder.chmod(0o755)
    try:
        results = asyncio.run(run(folder, rounds=rounds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    met = report(results)
    if not results.stage:
        print(f"Docker was not measured: no engine with {IMAGE}.")
    sys.exit(not met)


if __name__ == "__main__":
    main()
