"""Two planners as processes of their own, which may be killed."""

import asyncio
import os
import subprocess
from pathlib import Path

import aiohttp
from estafette_local.environment import command
from estafette_local.processes import Spawn, program
from estafette_local.servers import free_port
from estafette_local.waiting import eventually

SECRET_KEY = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="

ENDS_WITHIN = 60.0
"""Seconds that a planner has to end what it has in hand; its own grace is shorter."""


class Planners:
    """Some replicas of manifest-planner."""

    def __init__(self, folder: Path, *, nats_url: str, database_url: str, clone_url: str, replicas: int = 2) -> None:
        self._folder = folder
        self._ports = [free_port() for _ in range(replicas)]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
        table = {
            **inherited,
            "ESTAFETTE_NATS_URL": nats_url,
            "ESTAFETTE_DATABASE_URL": database_url,
            "ESTAFETTE_CLONE_URL": clone_url,
            "ESTAFETTE_SECRET_KEY": SECRET_KEY,
            "ESTAFETTE_MANIFEST_SOURCE": "git",
            "ESTAFETTE_MOST_TRIGGER_HOPS": "3",
            "ESTAFETTE_SHUTDOWN_GRACE": "5",
            "ESTAFETTE_LOG_LEVEL": "warning",
        }
        self._logs = [folder / f"planner-{replica}.log" for replica in range(replicas)]
        self._spawns = [self._spawn(replica, table) for replica in range(replicas)]
        self._processes: list[subprocess.Popen[bytes]] = []

    def _spawn(self, replica: int, table: dict[str, str]) -> Spawn:
        own = {
            "ESTAFETTE_PORT": str(self._ports[replica]),
            "ESTAFETTE_CACHE_DIR": str(self._folder / f"cache-{replica}"),
        }
        arguments = command("manifest_planner")
        return program(arguments, environment={**table, **own}, folder=self._folder, log=self._logs[replica])

    @property
    def logs(self) -> str:
        """Their warnings."""
        return "\n".join(log.read_text() for log in self._logs if log.exists())

    async def start(self) -> None:
        """Start all and wait until they are ready."""
        self._processes = [spawn() for spawn in self._spawns]
        for replica in range(len(self._processes)):
            await self.wait_ready(replica)

    async def wait_ready(self, replica: int) -> None:
        """Wait until a replica takes messages."""
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                async with session.get(f"http://127.0.0.1:{self._ports[replica]}/readiness") as answer:
                    return answer.status == 200

            await eventually(ready, within=60)

    async def kill(self, replica: int) -> None:
        """End a replica at once, wherever it is, and start it again."""
        self._processes[replica].kill()
        await asyncio.to_thread(self._processes[replica].wait)
        self._processes[replica] = self._spawns[replica]()

    def stop(self) -> None:
        """End all. Raises AssertionError where one does not end."""
        for process in self._processes:
            process.terminate()
        late = [process for process in self._processes if not _ends(process)]
        for process in late:
            process.kill()
            process.wait()
        assert not late, f"{len(late)} planners did not end within {ENDS_WITHIN:.0f} s of being told to"


def _ends(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        return False
    return True
