import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually


async def test_replicas_go_on_after_host_and_nats_were_away_and_end_by_sigterm(
    scene: Any, host: Any, nats_server: NatsServer, database_url: str
) -> None:
    with _processes(2, database_url, host) as replicas:
        for replica in replicas:
            await eventually(replica.is_ready, within=30)
        host.stop()
        gone = await scene.build("running", dispatched=900, heartbeat=900)
        nats_server.stop(signal.SIGKILL)
        nats_server.start()
        await eventually(lambda: _done(scene.lost), within=20)
        assert await scene.lost() == {}

        host.start()

        await eventually(lambda: _is(lambda: _lost(scene), [gone]), within=30)
        for replica in replicas:
            assert await replica.is_ready()
            replica.process.send_signal(signal.SIGTERM)
        for replica in replicas:
            await eventually(replica.has_ended)
            assert replica.process.returncode == 0


class Replica:
    """The service as a process."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._url = f"http://127.0.0.1:{environment['ESTAFETTE_PORT']}/readiness"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hanging_job_cleaner"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    async def is_ready(self) -> bool:
        async with aiohttp.ClientSession() as http, http.get(self._url) as answer:
            return answer.status == 200


@contextmanager
def _processes(count: int, database_url: str, host: Any) -> Iterator[list[Replica]]:
    replicas = [
        Replica(
            host.environment(
                DATABASE_URL=database_url,
                PORT=str(free_port()),
                CLEAN_INTERVAL="0.2",
                GRACE="1",
            )
        )
        for _ in range(count)
    ]
    try:
        yield replicas
    finally:
        for replica in replicas:
            replica.process.kill()
            replica.process.wait()


async def _lost(scene: Any) -> list[str]:
    return list(await scene.lost())


async def _is(look: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await look() == wanted


async def _done(act: Callable[[], Awaitable[object]]) -> bool:
    await act()
    return True
