"""How many pushes become builds in a second, with manifests from real sources. The service runs as it is."""

import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

import aiohttp
from aiohttp import web
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import GitPushed
from estafette_local.git_server import git_server
from estafette_local.servers import NatsServer, PostgresServer, free_port
from estafette_local.waiting import eventually

from bench.planner.installations import SIZES, manifest, place

LEAST = 100
"""Builds a second."""
ROUNDS = 3
"""Of each way to build, of which the median counts."""
REPLICAS = (1, 2)
WITHIN = 120.0
"""Seconds that a run may take."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where manifests come from."""

    name: str
    settings: dict[str, str]
    pushes: int
    aimed_at: bool
    """Whether the target is for it."""


@dataclass(frozen=True, slots=True)
class Built:
    """How fast pushes became builds."""

    source: Source
    planners: int
    requested: float
    """Seconds until the last job was requested."""
    idle: float
    """Seconds until nothing was left to do."""
    processor: list[float]
    """Seconds that the planners, PostgreSQL, NATS, and the forge with who pushes, computed."""

    @property
    def rate(self) -> float:
        """Builds a second, until nothing was left to do."""
        return self.source.pushes / self.idle


@asynccontextmanager
async def contents_api() -> AsyncIterator[str]:
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


def commit(root: Path, number: int, count: int) -> list[str]:
    """Create a repository with so many revisions of a manifest, and some other files; return them, oldest first."""
    path = root / "acme" / f"{place(number).name}.git"
    git = ["git", "-C", str(path)]
    path.mkdir(parents=True)
    subprocess.run([*git, "init", "--quiet", "--bare", "--initial-branch=main", "."], check=True)
    subprocess.run([*git, "fast-import", "--quiet"], input=_commits(number, count), check=True)
    listed = subprocess.run([*git, "rev-list", "--reverse", "main"], check=True, capture_output=True, text=True)
    return listed.stdout.split()


def _commits(number: int, count: int) -> bytes:
    """Return revisions as `git fast-import` reads them."""
    files = {f"folder-{place}/file-{place}.go": f"package p{place}\n" * 50 for place in range(40)}
    files |= {"README.md": "a service\n" * 50}
    parts = []
    for turn in range(count):
        changed = (files if turn == 0 else {}) | {".estafette.yaml": f"# {turn}\n{manifest(number)}"}
        parts.append(f"commit refs/heads/main\ncommitter Robin <r@example.com> {turn} +0000\ndata 6\nChange\n")
        parts += [f"M 644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in changed.items()]
    return "".join(parts).encode()


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
            if int(stat.parent.name) in pids:
                ticks += sum(int(field) for field in fields[11:15])
            elif int(fields[1]) in pids and int(fields[1]) != os.getpid():
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


@dataclass(frozen=True, slots=True)
class Bench:
    """Servers, and what is pushed."""

    bus: Bus
    servers: tuple[list[int], list[int], list[int]]
    """Process ids of PostgreSQL, NATS, and the forge with who pushes."""
    revisions: list[list[str]]
    """Of each repository."""

    async def measure(self, source: Source, replicas: int, settings: dict[str, str]) -> Built:
        """Push in rounds, each time other revisions; return the median."""
        with planners(replicas, settings | source.settings) as (ports, pids):
            await eventually(partial(are_ready, ports), within=60)
            rounds = [await self._tell(source, replicas, turn, pids) for turn in range(ROUNDS)]
        return sorted(rounds, key=lambda each: each.idle)[ROUNDS // 2]

    async def _tell(self, source: Source, replicas: int, turn: int, pids: list[int]) -> Built:
        run = f"{source.name}-{replicas}-{turn}"
        which = REPLICAS.index(replicas) * ROUNDS + turn
        pushes = [push(number, revisions[which]) for number, revisions in enumerate(self.revisions[: source.pushes])]
        stored = await self._requests()
        before = [processor_time(*each) for each in (pids, *self.servers)]

        async def are_requested() -> bool:
            return await self._requests() - stored >= len(pushes)

        began = time.perf_counter()
        await self.bus.publish_all({f"{run}/{number}": each for number, each in enumerate(pushes)})
        await eventually(are_requested, within=WITHIN)
        requested = time.perf_counter() - began
        await eventually(lambda: is_idle(self.bus), within=WITHIN)
        idle = time.perf_counter() - began
        after = [processor_time(*each) for each in (pids, *self.servers)]
        computed = [now - then for now, then in zip(after, before, strict=True)]
        return Built(source, replicas, requested, idle, computed)

    async def _requests(self) -> int:
        return int((await self.bus.jetstream.stream_info("JOBS")).state.last_seq)


def push(number: int, revision: str) -> GitPushed:
    """Return a push to a pipeline."""
    return GitPushed(repository=place(number), ref="refs/heads/main", revision=revision)


async def build(nats: NatsServer, postgres: PostgresServer, root: Path, pushes: int) -> list[Built]:
    """Build with manifests from each source, with one planner and with two."""
    bus = Bus(nats.url, source="bench")
    await bus.start()
    repositories = root / "repositories"
    bench = Bench(
        bus,
        ([pid_of(postgres.process)], [pid_of(nats.process)], [os.getpid()]),
        [commit(repositories, number, ROUNDS * len(REPLICAS)) for number in range(pushes)],
    )
    settings = {
        "nats_url": nats.url,
        "database_url": postgres.url(f"of_{SIZES[-1]}"),
        "secret_key": b64encode(bytes(32)).decode(),
    }
    built: list[Built] = []
    async with contents_api() as api, git_server(repositories) as url:
        over_http = {"manifest_source": "git", "clone_url": f"{url}/{{owner}}/{{name}}.git"}
        by_program = {"manifest_source": "git", "clone_url": f"file://{repositories}/{{owner}}/{{name}}.git"}
        sources = [
            Source("GitHub's API", {"manifest_source": "github", "github_api_url": api}, pushes, aimed_at=True),
            Source("a git server", over_http, pushes, aimed_at=True),
            Source("the git program", by_program, pushes // 3, aimed_at=False),
        ]
        for source in sources:
            for replicas in REPLICAS:
                own = {"cache_dir": str(root / f"cache-{len(built)}")}
                built.append(await bench.measure(source, replicas, settings | own))
    await bus.stop()
    return built


def pid_of(process: subprocess.Popen[bytes] | None) -> int:
    """Return the id of a server that runs."""
    assert process is not None
    return process.pid


def report(built: list[Built]) -> list[str]:
    """Print the table; return the targets that are missed."""
    print("| manifests from | planners | builds | builds/s requested | builds/s, all done | processor ms/build |")
    print("|---|---|---|---|---|---|")
    for each in built:
        pushes = each.source.pushes
        processor = " + ".join(f"{seconds / pushes * 1000:.1f}" for seconds in each.processor)
        rates = f"{pushes / each.requested:.0f} | {each.rate:.0f}"
        print(f"| {each.source.name} | {each.planners} | {pushes:,} | {rates} | {processor} |")
    print(f"\naimed at: {LEAST} builds a second, from GitHub's API and from a git server")
    return [f"builds/s from {each.source.name}" for each in built if each.source.aimed_at and each.rate < LEAST]
