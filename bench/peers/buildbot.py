"""Buildbot, from PyPI: a master on PostgreSQL, and a worker."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
import asyncpg
from estafette_local.servers import PostgresServer, free_port

from bench.peers.processes import running
from bench.peers.pushes import SECRET, payload, send

VERSION = "4.3.0"
ROOM = Path(__file__).parents[2] / ".tools" / f"buildbot-{VERSION}"
"""An environment of its own."""

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

    async def has_worker(self) -> bool:
        """Return whether the worker has come."""
        async with self.session.get(f"{self.url}/api/v2/workers/1") as answer:
            return bool((await answer.json(content_type=None))["workers"][0]["connected_to"])

    async def ended(self) -> int:
        async with self.session.get(f"{self.url}/api/v2/builds") as answer:
            return sum(build["complete"] for build in (await answer.json(content_type=None))["builds"])


@contextmanager
def buildbot(folder: Path) -> Iterator[str]:
    """Run Buildbot on a PostgreSQL of its own; gives its address."""
    if not (ROOM / "bin" / "buildbot").exists():
        subprocess.run(["uv", "venv", "-q", "--clear", "--python", sys.executable, str(ROOM)], check=True)
        packages = [f"{name}=={VERSION}" for name in ("buildbot", "buildbot-worker", "buildbot-www")]
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
