"""The way from a push to a build beside Buildbot's, and taking webhooks beside Debian's `webhook`, in one run.

`make bench-peers`. All get the same 25 KB push with a signature, and take turns. Buildbot, from PyPI, has PostgreSQL,
one worker, and one builder with the step `echo hello`; ours has all its services, and one stage of a process that does
the same, after a clone. `webhook` (`apt-get install webhook`) checks the signature and rules of the payload, and stores
and starts nothing. Not like for like: Buildbot's step needs no clone, and ours stores each event before it answers.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import aiohttp
import asyncpg
from estafette_common.bus import identity
from estafette_local.environment import Options
from estafette_local.forge import FakeForge
from estafette_local.people import GitRepository, Person, signed
from estafette_local.servers import PostgresServer, free_port
from estafette_local.stack import Stack
from estafette_local.waiting import eventually

BUILDBOT = "4.3.0"
ROOM = Path(__file__).parents[1] / ".tools" / f"buildbot-{BUILDBOT}"
"""An environment of its own."""

SECRET = "bench"
MANIFEST = "stages:\n  hello:\n    image: busybox:latest\n    commands:\n    - echo hello\n"
AT_ONCE = 8
SIZE = 25_000
WARM_UP = 2
"""Turns that do not count."""

MASTER = """
from buildbot.plugins import *
c = BuildmasterConfig = {{}}
c["workers"] = [worker.Worker("one", "secret", max_builds=8)]
c["protocols"] = {{"pb": {{"port": "tcp:{pb}:interface=127.0.0.1"}}}}
c["schedulers"] = [schedulers.AnyBranchScheduler(
    name="all", builderNames=["hello"], treeStableTimer=None,
    change_filter=util.ChangeFilter(branch="main"))]
steps = [steps.ShellCommand(command=["sh", "-c", "echo hello"], logEnviron=False)]
c["builders"] = [util.BuilderConfig(
    name="hello", workernames=["one"], factory=util.BuildFactory(steps), collapseRequests=False)]
c["www"] = {{"port": "tcp:{www}:interface=127.0.0.1", "plugins": {{}},
    "change_hook_dialects": {{"github": {{"secret": "{secret}", "strict": True}}}}}}
c["db"] = {{"db_url": "{database}"}}
c["title"] = "bench"; c["titleURL"] = c["buildbotURL"] = "http://127.0.0.1:{www}/"
c["buildbotNetUsageData"] = None
"""

HOOKS = [{
    "id": "github", "execute-command": "/bin/true", "trigger-rule": {"and": [
        {"match": {"type": "payload-hmac-sha256", "secret": SECRET,
            "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}},
        {"match": {"type": "value", "value": "refs/heads/nowhere", "parameter": {"source": "payload", "name": "ref"}}},
    ]},
}]  # fmt: skip
"""The second rule never holds: what a webhook costs is looked at, not what a process costs."""


class Peer(Protocol):
    """Something that takes webhooks."""

    async def hook(self, body: bytes) -> None:
        """Send a push and wait for the answer."""
        ...


class Builder(Peer, Protocol):
    """Something that builds what is pushed."""

    def payload(self, branch: str) -> bytes:
        """Return a push to a branch, of a repository of its own."""
        ...

    async def to_first_line(self) -> float:
        """Push, and return the seconds until a client was told of the step's output."""
        ...

    async def ended(self) -> int:
        """Return how many builds have ended."""
        ...


@dataclass
class Webhook:
    """Debian's `webhook`."""

    session: aiohttp.ClientSession
    url: str

    async def hook(self, body: bytes) -> None:
        await send(self.session, f"{self.url}/hooks/github", body)


@dataclass
class Buildbot:
    """Buildbot, a master and a worker."""

    session: aiohttp.ClientSession
    url: str

    def payload(self, branch: str) -> bytes:
        return payload("acme", f"shop-{uuid4().hex[:8]}", branch, "4" * 40)

    async def hook(self, body: bytes) -> None:
        await send(self.session, f"{self.url}/change_hook/github", body)

    async def to_first_line(self) -> float:
        async with self.session.get(f"{self.url}/sse/listen/logs/*/append") as stream:
            await stream.content.readline()
            began = time.perf_counter()
            await self.hook(self.payload("main"))
            async for line in stream.content:
                if line.startswith(b"event: "):
                    return time.perf_counter() - began
        raise ConnectionError("Buildbot ended the stream of events")

    async def ended(self) -> int:
        async with self.session.get(f"{self.url}/api/v2/builds") as answer:
            return sum(build["complete"] for build in (await answer.json(content_type=None))["builds"])


@dataclass
class Estafette:
    """Ours, one process of each service."""

    session: aiohttp.ClientSession
    stack: Stack
    repositories: Path
    pushed: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    """Repository and delivery of each payload that can be built."""

    def payload(self, branch: str) -> bytes:
        name = f"shop-{uuid4().hex[:8]}"
        revision = "4" * 40
        if branch == "main":
            revision = GitRepository(self.repositories, "acme", name).commit({".estafette.yaml": MANIFEST})
        body = payload("acme", name, branch, revision)
        self.pushed[body] = name, str(uuid4())
        return body

    async def hook(self, body: bytes) -> None:
        delivery = signed(body, event="push", secret=self.stack.webhook_secret, delivery=self.pushed[body][1])
        if await self._person().deliver(delivery) != 200:
            raise ConnectionError("webhook-ingress refused")

    async def to_first_line(self) -> float:
        body = self.payload("main")
        name, delivery = self.pushed[body]
        build_id = identity.job_id(f"github.com/acme/{name}", identity.derive(delivery, identity.GIT_PUSH))
        build = {"repoSource": "github.com", "repoOwner": "acme", "repoName": name, "id": build_id}
        began = time.perf_counter()
        hooked = asyncio.ensure_future(self.hook(body))
        async for told in self._person().watch(build):
            if told.event == "log" and told.data["step"] == "hello" and "logLine" in told.data:
                await hooked
                return time.perf_counter() - began
        raise ConnectionError("the log ended without a line")

    async def ended(self) -> int:
        counted = await self._person().get("/api/status")
        return sum(each["count"] for each in counted["ended"] if each["outcome"] == "succeeded")

    def _person(self) -> Person:
        return Person(self.session, ingress=self.stack.url("webhook-ingress"), api=self.stack.url("api"))


def payload(owner: str, name: str, branch: str, revision: str) -> bytes:
    """Return a push of 25 KB, as far as GitHub's as any of the three reads it."""
    person = {"name": "Robin", "email": "robin@example.com", "username": "robin"}
    url = f"https://github.com/{owner}/{name}"
    commit = {
        "id": revision, "message": "Sell more", "timestamp": "2026-11-20T12:00:00+01:00", "url": f"{url}/commit/4",
        "author": person, "committer": person, "added": [], "removed": [], "modified": ["README"], "distinct": True,
    }  # fmt: skip
    pushed = {
        "ref": f"refs/heads/{branch}", "before": "1" * 40, "after": revision, "created": False, "deleted": False,
        "repository": {"id": 1, "name": name, "full_name": f"{owner}/{name}", "html_url": url, "clone_url": url,
            "url": url, "owner": {"login": owner, "name": owner}},
        "pusher": person, "commits": [commit], "head_commit": commit, "compare": url, "padding": "",
    }  # fmt: skip
    pushed["padding"] = "x" * (SIZE - len(json.dumps(pushed)))
    return json.dumps(pushed).encode()


async def send(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    """Send a push as GitHub does; aiohttp.ClientResponseError when it is refused."""
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": str(uuid4())}
    for name, digest in (("X-Hub-Signature-256", hashlib.sha256), ("X-Hub-Signature", hashlib.sha1)):
        headers[name] = f"{digest().name}={hmac.new(SECRET.encode(), body, digest).hexdigest()}"
    async with session.post(url, data=body, headers=headers) as response:
        response.raise_for_status()
        await response.read()


@contextmanager
def running(*command: str, folder: Path, log: Path) -> Iterator[None]:
    """Run a process for as long as the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


@contextmanager
def buildbot(folder: Path) -> Iterator[str]:
    """Run Buildbot on a PostgreSQL of its own; gives its address."""
    if not (ROOM / "bin" / "buildbot").exists():
        subprocess.run(["uv", "venv", "-q", "--clear", "--python", sys.executable, str(ROOM)], check=True)
        packages = [f"{name}=={BUILDBOT}" for name in ("buildbot", "buildbot-worker", "buildbot-www")]
        install = ["uv", "pip", "install", "-q", "--python", str(ROOM / "bin" / "python"), *packages, "psycopg2-binary"]
        subprocess.run(install, check=True)
    programs = ROOM / "bin"
    postgres = PostgresServer(folder / "postgres")
    postgres.start()
    try:
        asyncio.run(_create(postgres.url("postgres")))
        pb, www = free_port(), free_port()
        database = postgres.url("buildbot").replace("postgresql:", "postgresql+psycopg2:")
        create = [str(programs / "buildbot"), "create-master", "-r", f"--db={database}", str(folder / "master")]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
        text = MASTER.format(pb=pb, www=www, secret=SECRET, database=database)
        (folder / "master" / "master.cfg").write_text(text)
        create = [str(programs / "buildbot-worker"), "create-worker", str(folder / "worker")]
        subprocess.run([*create, f"127.0.0.1:{pb}", "one", "secret"], check=True, stdout=subprocess.DEVNULL)
        with ExitStack() as processes:
            for program, place in (("buildbot", "master"), ("buildbot-worker", "worker")):
                command = (str(programs / program), "start", "--nodaemon", str(folder / place))
                processes.enter_context(running(*command, folder=folder / place, log=folder / f"{place}.log"))
            yield f"http://127.0.0.1:{www}"
    finally:
        postgres.stop()


async def _create(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE DATABASE buildbot")
    await connection.close()


@asynccontextmanager
async def peers(folder: Path, addresses: dict[str, str]) -> AsyncIterator[dict[str, Peer]]:
    """Start ours, and wait until all answer."""
    async with AsyncExitStack() as scene:
        session = await scene.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        forge = await scene.enter_async_context(FakeForge(folder / "stack" / "repositories"))
        options = Options(github_api_url=forge.url, github_token="bench", manifest_source="github")
        stack = Stack(folder / "stack", options)
        await asyncio.to_thread(stack.start)
        scene.push_async_callback(asyncio.to_thread, stack.stop)
        found: dict[str, Peer] = {
            "estafette": Estafette(session, stack, folder / "stack" / "repositories"),
            "Buildbot": Buildbot(session, addresses["buildbot"]),
            "webhook": Webhook(session, addresses["webhook"]),
        }

        async def worker_is_there() -> bool:
            async with session.get(f"{addresses['buildbot']}/api/v2/workers/1") as answer:
                return bool((await answer.json(content_type=None))["workers"][0]["connected_to"])

        await eventually(worker_is_there, within=120)
        yield found


HEADING = """\
| | estafette | Buildbot | ours to Buildbot | webhook | ours to webhook |
|---|---|---|---|---|---|"""

Row = tuple[str, dict[str, float]]
"""What was measured, and the figure of each peer; milliseconds, or times a second."""


async def measure(found: dict[str, Peer], count: int) -> AsyncIterator[Row]:
    """Yield each row as soon as it is measured."""
    make = {name: _maker(peer, "other") for name, peer in found.items()}
    hooks: dict[str, Callable[[], Awaitable[object]]] = {
        name: partial(_make_and_hook, peer, make[name]) for name, peer in found.items()
    }
    yield "hook answered, p50 ms", await _in_turns(hooks, count)
    rates = {name: await _rate(peer, make[name], 10 * count) for name, peer in found.items()}
    yield f"webhooks/s, {AT_ONCE} at once", rates
    builders: dict[str, Builder] = {
        name: peer for name, peer in found.items() if isinstance(peer, Estafette | Buildbot)
    }
    lines: dict[str, list[float]] = {name: [] for name in builders}
    for turn in range(count + WARM_UP):
        for name, builder in builders.items():
            took = await builder.to_first_line()
            lines[name] += [took * 1000] if turn >= WARM_UP else []
    yield "push to the step's first line, p50 ms", {name: statistics.median(each) for name, each in lines.items()}
    builds = {name: await _builds(builder, 2 * count) for name, builder in builders.items()}
    yield f"builds/s, {2 * count} pushed {AT_ONCE} at once", builds


async def _in_turns(works: dict[str, Callable[[], Awaitable[object]]], count: int) -> dict[str, float]:
    """Return the median milliseconds of each."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(count + WARM_UP):
        for name, work in works.items():
            seconds = await _seconds(work())
            took[name] += [seconds * 1000] if turn >= WARM_UP else []
    return {name: statistics.median(each) for name, each in took.items()}


async def _make_and_hook(peer: Peer, make: Callable[[], bytes]) -> None:
    await peer.hook(make())


def _maker(peer: Peer, branch: str) -> Callable[[], bytes]:
    if isinstance(peer, Estafette | Buildbot):
        return lambda: peer.payload(branch)
    return lambda: payload("acme", "shop", branch, "4" * 40)


async def _seconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _rate(peer: Peer, make: Callable[[], bytes], count: int) -> float:
    """Return how many webhooks a second are answered."""
    bodies = [make() for _ in range(count)]

    async def one() -> None:
        while bodies:
            await peer.hook(bodies.pop())

    return count / await _seconds(asyncio.gather(*(one() for _ in range(AT_ONCE))))


async def _builds(builder: Any, count: int) -> float:
    """Return how many builds a second end, from the first push to the last end."""
    before = await builder.ended()

    async def all_ended() -> bool:
        return bool(await builder.ended() >= before + count)

    async def push_and_wait() -> None:
        await _rate(builder, bodies.pop, count)
        await eventually(all_ended, within=300)

    bodies = [builder.payload("main") for _ in range(count)]
    return count / await _seconds(push_and_wait())


def row(measured: Row) -> str:
    """Return a row; its ratios are ours to theirs: the better the smaller in ms, the larger in times a second."""
    name, values = measured
    ours = values["estafette"]
    cells = [f"{ours:,.1f}"]
    for peer in ("Buildbot", "webhook"):
        cells += [f"{values[peer]:,.1f}", f"{ours / values[peer]:.2f}"] if peer in values else ["", ""]
    return f"| {name} | {' | '.join(cells)} |"


def versions() -> str:
    """Return what was measured, on what."""
    webhook = subprocess.run(["webhook", "-version"], capture_output=True, text=True, check=False).stdout.split()[-1]
    return f"Buildbot {BUILDBOT}, webhook {webhook}, Python {platform.python_version()}; load {os.getloadavg()[0]:.1f}."


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30, help="of pushes that are timed one by one")
    options = parser.parse_args()
    if shutil.which("webhook") is None:
        sys.exit("webhook is missing: apt-get install webhook")
    folder = Path(tempfile.mkdtemp(prefix="estafette-bench-"))
    folder.chmod(0o755)
    port = free_port()
    (folder / "hooks.json").write_text(json.dumps(HOOKS))
    command = ("webhook", "-hooks", str(folder / "hooks.json"), "-ip", "127.0.0.1", "-port", str(port))
    try:
        with buildbot(folder) as url, running(*command, folder=folder, log=folder / "webhook.log"):

            async def run() -> None:
                async with peers(folder, {"buildbot": url, "webhook": f"http://127.0.0.1:{port}"}) as found:
                    print(HEADING)
                    async for measured in measure(found, options.count):
                        print(row(measured), flush=True)

            asyncio.run(run())
            print(f"\n{versions()}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
