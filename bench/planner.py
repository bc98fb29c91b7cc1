"""What events cost manifest-planner where there are many pipelines: matching them with triggers, and making builds.

`make bench-planner`, with real NATS and PostgreSQL. Matching, in an installation of 100 pipelines and in one of 10,000,
event by event in turns: every pipeline has a trigger of one kind; each event fires the one that waits for it. Counted
from the event to the firing that NATS has stored. Minutes are counted apart: a minute asks each schedule that there is.

Building, in that of 10,000: the service runs as it is, in processes of its own; manifests come from a GitHub that
answers from memory, or from git repositories. All pushes are told at once, each to a pipeline of its own. Counted until
the last job was requested, and until nothing is left to do: decisions told, triggers matched.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path

import aiohttp
from aiohttp import web
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import (
    CronTicked,
    GithubEvent,
    GitPushed,
    PipelineChanged,
    PubSubReceived,
    RegistryPushed,
    ReleaseChanged,
)
from estafette_common.bus.messages.message import Cause
from estafette_common.database.migrating import migrate
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Status
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.reading import read
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer, PostgresServer, free_port
from estafette_local.waiting import eventually
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.declared import declared
from manifest_planner.matcher import Matcher
from manifest_planner.schedules import Schedules
from manifest_planner.ticks import Ticks
from manifest_planner.triggers import SELECT, Triggers

SIZES = (100, 10_000)
SCHEDULES = 1_440
MOST = 1.5
"""Times the 99th percentile of the small installation."""
LEAST = 100
"""Builds a second."""
ROUNDS = 3
"""Of each way to build, of which the best counts."""
WITHIN = 120.0
"""Seconds that a run may take."""

KINDS = ("pipeline", "release", "git", "docker", "cron", "pubsub", "github")
Event = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Built:
    """How fast pushes became builds."""

    manifests: str
    planners: int
    builds: int
    requested: float
    """Seconds until the last job was requested."""
    idle: float
    """Seconds until nothing was left to do."""
    processor: list[float]
    """Seconds that the planners, PostgreSQL and NATS computed."""


class InMessages:
    """Payloads of webhooks, none of which is too large for its message."""

    async def of(self, event: GithubEvent) -> bytes:
        """Return the payload."""
        return event.payload


def place(number: int) -> Repository:
    """Return a repository."""
    return Repository(source="github.com", owner="acme", name=f"service-{number}")


def trigger(number: int) -> str:
    """Return the trigger of a pipeline."""
    other, minute = place(number + 1).pipeline, number % SCHEDULES
    return {
        "pipeline": f"pipeline: {{name: {other}}}",
        "release": f"release: {{name: {other}, target: production}}",
        "git": f"git: {{repository: {other}}}",
        "docker": f"docker: {{image: acme/service-{number}, tag: '1.0.0', policy: force}}",
        "cron": f"cron: {{schedule: '{minute % 60} {minute // 60} * * *'}}",
        "pubsub": f"pubsub: {{project: acme, topic: topic-{number}}}",
        "github": "github: {events: [issues]}",
    }[KINDS[number % len(KINDS)]]


def manifest(number: int) -> str:
    """Return the manifest of a pipeline: three stages, a release target, a trigger."""
    return f"""
labels: {{app: service-{number}, language: golang}}
version: {{semver: {{major: 1, minor: 2}}}}
env: {{CGO_ENABLED: '0'}}
triggers: [{{{trigger(number)}}}]
stages:
  restore: {{image: golang:1.22, commands: [go mod download]}}
  build: {{image: golang:1.22, commands: ['go test ./...', 'go build -o app .']}}
  publish: {{image: docker:24, commands: ['docker build -t app .', 'docker push app'], when: "branch == 'main'"}}
releases:
  production: {{stages: {{deploy: {{image: busybox:1, commands: [deploy]}}}}}}
"""


async def fill(database: Database, size: int) -> None:
    """Add pipelines, each with a build."""
    builds = Builds(database)
    for number in range(size):
        text = manifest(number)
        push = GitPushed(repository=place(number), ref="refs/heads/main", revision=f"{number:040d}")
        new = NewBuild(
            id=str(number),
            push=push,
            branch="main",
            version=str,
            declared=declared(read(text), place(number).pipeline),
            manifest=text,
        )
        await builds.add(new)
    await database.pool.execute("ANALYZE")


def event(matcher: Matcher, number: int, cause: Cause) -> Event:
    """Return the handling of what the trigger of a pipeline waits for."""
    other = place(number + 1)
    succeeded = {"version": "1.0.1", "branch": "main", "revision": "a" * 40, "status": Status.SUCCEEDED}
    built = PipelineChanged(event="finished", build_id="1", repository=other, **succeeded)
    ends = {"release_id": "1", "build_id": "1", "target": "production", **succeeded}
    released = ReleaseChanged(event="finished", repository=other, **ends)
    pushed = GitPushed(repository=other, ref="refs/heads/main", revision="a" * 40)
    image = RegistryPushed(image=f"acme/service-{number}", tag=cause.id)
    tick = CronTicked(time=datetime(2026, 11, 20, tzinfo=UTC) + timedelta(minutes=number % SCHEDULES))
    received = PubSubReceived(project="acme", topic=f"topic-{number}")
    payload = f'{{"repository": {{"full_name": "acme/service-{number}"}}}}'.encode()
    issue = GithubEvent(kind="issues", payload=payload)
    handlings: dict[str, Event] = {
        "pipeline": lambda: matcher.on_build(built, cause),
        "release": lambda: matcher.on_release(released, cause),
        "git": lambda: matcher.on_push(pushed, cause),
        "docker": lambda: matcher.on_image(image, cause),
        "cron": lambda: matcher.on_tick(tick, cause),
        "pubsub": lambda: matcher.on_pubsub(received, cause),
        "github": lambda: matcher.on_github(issue, cause),
    }
    return handlings[KINDS[number % len(KINDS)]]


async def match(matcher: Matcher, size: int, count: int) -> tuple[str, float]:
    """Return whether an event was a minute, and the milliseconds that it took."""
    number = count * 7919 % size
    handle = event(matcher, number, Cause(id=f"{size}-{count}", type="", source="", time=datetime.now(UTC)))
    began = time.perf_counter()
    await handle()
    return "minutes" if KINDS[number % len(KINDS)] == "cron" else "events", (time.perf_counter() - began) * 1000


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@asynccontextmanager
async def github() -> AsyncIterator[str]:
    """Answer with manifests as GitHub's API does; yield its URL."""

    async def contents(request: web.Request) -> web.Response:
        return web.Response(text=manifest(int(request.match_info["number"])))

    app = web.Application(handler_args={"access_log": None})
    app.add_routes([web.get("/repos/acme/service-{number}/contents/.estafette.yaml", contents)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@contextmanager
def planners(count: int, settings: dict[str, str]) -> Iterator[tuple[list[int], list[int]]]:
    """Run planners; yield the ports of their probes, and their process ids."""
    ports, processes = [free_port() for _ in range(count)], []
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
    try:
        for port in ports:
            own = {f"ESTAFETTE_{name.upper()}": value for name, value in {**settings, "port": str(port)}.items()}
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "manifest_planner"],
                    env={**inherited, **own, "ESTAFETTE_LOG_LEVEL": "warning"},
                )
            )
        yield ports, [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def processor_time(*pids: int) -> float:
    """Return the seconds that processes computed, and those that they started."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(stat.parent.name) in pids or int(fields[1]) in pids:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def are_ready(ports: list[int]) -> bool:
    """Return whether all planners take work."""
    async with aiohttp.ClientSession() as http:
        for port in ports:
            async with http.get(f"http://127.0.0.1:{port}/readiness") as answer:
                if answer.status != HTTPStatus.OK:
                    return False
    return True


async def is_idle(bus: Bus) -> bool:
    """Return whether no consumer has anything left to do."""
    for stream in ("EVENTS", "COMMANDS"):
        for info in await bus.jetstream.consumers_info(stream):
            if info.num_pending or info.num_ack_pending:
                return False
    return True


async def tell(
    bus: Bus, pushes: list[GitPushed], run: str, processes: tuple[list[int], ...]
) -> tuple[float, float, list[float]]:
    """Tell pushes; return the seconds of `Built`."""
    stored = (await bus.jetstream.stream_info("JOBS")).state.last_seq
    before = [processor_time(*each) for each in processes]

    async def are_requested() -> bool:
        return (await bus.jetstream.stream_info("JOBS")).state.last_seq - stored >= len(pushes)

    began = time.perf_counter()
    await bus.publish_all({f"{run}/{number}": push for number, push in enumerate(pushes)})
    await eventually(are_requested, within=WITHIN)
    requested = time.perf_counter() - began
    await eventually(lambda: is_idle(bus), within=WITHIN)
    idle = time.perf_counter() - began
    return requested, idle, [processor_time(*each) - had for each, had in zip(processes, before, strict=True)]


def pushes_to(numbers: range, revisions: dict[int, str]) -> list[GitPushed]:
    """Return a push to each of some pipelines."""
    return [
        GitPushed(repository=place(number), ref="refs/heads/main", revision=revisions.get(number, f"{number + 1:040x}"))
        for number in numbers
    ]


def commit(root: Path, numbers: range) -> dict[int, str]:
    """Create repositories with manifests; return their revisions."""
    return {
        number: GitRepository(root, "acme", place(number).name).commit({".estafette.yaml": manifest(number)})
        for number in numbers
    }


async def build(nats: NatsServer, postgres: PostgresServer, root: Path, pushes: int) -> list[Built]:
    """Build with manifests from both places, with one planner and with two."""
    bus = Bus(nats.url, source="bench")
    await bus.start()
    revisions = commit(root / "repositories", range(pushes // 10))
    built = []
    async with github() as api:
        settings = {
            "nats_url": nats.url,
            "database_url": postgres.url(f"of_{SIZES[-1]}"),
            "secret_key": b64encode(bytes(32)).decode(),
            "github_api_url": api,
            "clone_url": f"file://{root}/repositories/{{owner}}/{{name}}.git",
        }
        for source, count in (("github", pushes), ("git", len(revisions))):
            for replicas in (1, 2):
                settings |= {"cache_dir": str(root / f"cache-{replicas}"), "manifest_source": source}
                with planners(replicas, settings) as (ports, pids):
                    await eventually(partial(are_ready, ports), within=60)
                    told = pushes_to(range(count), revisions if source == "git" else {})
                    processes = (pids, [pid_of(postgres.process)], [pid_of(nats.process)])
                    rounds = [await tell(bus, told, f"{source}-{replicas}-{turn}", processes) for turn in range(ROUNDS)]
                built.append(Built(source, replicas, count, *min(rounds, key=lambda taken: taken[1])))
    await bus.stop()
    return built


def pid_of(process: subprocess.Popen[bytes] | None) -> int:
    """Return the id of a server that runs."""
    assert process is not None
    return process.pid


def main(events: int, pushes: int) -> None:
    """Measure and print the tables."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="estafette-bench-")))
        root.chmod(0o755)
        postgres, nats = PostgresServer(root / "postgres"), NatsServer(root / "nats")
        for server in (postgres, nats):
            server.start()
            stack.callback(server.stop)
        missed = report_matching(asyncio.run(compare(postgres, nats, events)))
        missed += report_building(asyncio.run(build(nats, postgres, root, pushes)))
    if missed:
        sys.exit(f"not reached: {', '.join(missed)}")


async def compare(postgres: PostgresServer, server: NatsServer, events: int) -> dict[int, dict[str, list[float]]]:
    """Fill both installations, and measure matching in turns."""
    bus = Bus(server.url, source="bench")
    await bus.start()
    databases = {size: await prepare(postgres, size) for size in SIZES}
    matchers = {size: matcher(databases[size], bus) for size in SIZES}
    taken: dict[int, dict[str, list[float]]] = {size: {"events": [], "minutes": []} for size in SIZES}
    for count in range(events):
        for size, matcher in matchers.items():
            kind, milliseconds = await match(matcher, size, count)
            if count >= events // 10:
                taken[size][kind].append(milliseconds)
    await show_plan(databases[SIZES[-1]])
    for database in databases.values():
        await database.stop()
    await bus.stop()
    return taken


def matcher(database: Database, bus: Bus) -> Matcher:
    """Return what finds the triggers of an installation."""
    return Matcher(Triggers(database), Schedules(database), InMessages(), Ticks(bus), bus)


async def prepare(postgres: PostgresServer, size: int) -> Database:
    """Create a database with pipelines."""
    admin = Database(postgres.url("postgres"))
    await admin.start()
    await admin.pool.execute(f"CREATE DATABASE of_{size}")
    await admin.stop()
    await migrate(postgres.url(f"of_{size}"))
    database = Database(postgres.url(f"of_{size}"))
    await database.start()
    await fill(database, size)
    return database


async def show_plan(database: Database) -> None:
    """Print how the triggers that may wait for an event are found."""
    plan = await database.pool.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {SELECT}", "git", [place(3).pipeline])
    print("\n".join(row[0] for row in plan), end="\n\n")


def report_matching(taken: dict[int, dict[str, list[float]]]) -> list[str]:
    """Print the table; return the target that is missed, if it is."""
    print("| | pipelines | events | median ms | p99 ms |\n|---|---|---|---|---|")
    for kind in ("events", "minutes"):
        for size in SIZES:
            values = taken[size][kind]
            median, late = statistics.median(values), percentile(values, 0.99)
            print(f"| {kind} | {size:,} | {len(values):,} | {median:.2f} | {late:.2f} |")
    small, large = (percentile(taken[size]["events"], 0.99) for size in SIZES)
    print(f"\np99 of events: {large / small:.2f} times that of the small installation; aimed at {MOST}\n")
    return ["p99 of events"] if large > small * MOST else []


def report_building(built: list[Built]) -> list[str]:
    """Print the table; return the target that is missed, if it is."""
    print("| manifests from | planners | builds | builds/s requested | builds/s, all done | processor ms/build |")
    print("|---|---|---|---|---|---|")
    for each in built:
        rates = f"{each.builds / each.requested:.0f} | {each.builds / each.idle:.0f}"
        processor = " + ".join(f"{seconds / each.builds * 1000:.1f}" for seconds in each.processor)
        print(f"| {each.manifests} | {each.planners} | {each.builds:,} | {rates} | {processor} |")
    least = min(each.builds / each.idle for each in built if each.manifests == "github")
    print(f"\nwith manifests from memory: at least {least:.0f} builds/s; aimed at {LEAST}")
    return ["builds/s"] if least < LEAST else []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000, help="for each installation")
    parser.add_argument("--pushes", type=int, default=300, help="in each of three rounds; a tenth of it through git")
    arguments = parser.parse_args()
    main(arguments.events, arguments.pushes)
