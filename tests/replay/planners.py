"""Two planners as processes of their own, which may be killed."""

import asyncio
import os
from pathlib import Path

import aiohttp
from estafette_local.environment import command
from estafette_local.processes import Process, program
from estafette_local.servers import free_port
from estafette_local.waiting import eventually

SECRET_KEY = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="


class Planners:
    """Some replicas of manifest-planner; one that is killed is started again."""

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
        self._processes = [self._process(replica, port, table) for replica, port in enumerate(self._ports)]

    def _process(self, replica: int, port: int, table: dict[str, str]) -> Process:
        own = {"ESTAFETTE_PORT": str(port), "ESTAFETTE_CACHE_DIR": str(self._folder / f"cache-{replica}")}
        log = self._folder / f"planner-{replica}.log"
        spawn = program(command("manifest_planner"), environment={**table, **own}, folder=self._folder, log=log)
        return Process(f"planner {replica}", spawn, log=log)

    @property
    def logs(self) -> str:
        """Their warnings."""
        return "\n".join(process.log.read_text() for process in self._processes)

    async def start(self) -> None:
        """Start all and wait until they are ready."""
        for process in self._processes:
            process.start()
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
        """End a replica at once, wherever it is; it is started again."""
        await asyncio.to_thread(self._processes[replica].kill)

    def stop(self) -> None:
        """End all."""
        for process in self._processes:
            process.ask_to_stop()
        for process in self._processes:
            process.stop()
