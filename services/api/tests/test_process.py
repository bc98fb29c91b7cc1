"""Beginning and end of the process."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from api.settings import Settings
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually

PIPELINES = "/api/pipelines"


@pytest.fixture
def process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """The service as a process of its own, at the address where `scene` looks for it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
    ours = {f"ESTAFETTE_{name.upper()}": str(value) for name, value in settings.model_dump().items()}
    process = subprocess.Popen([sys.executable, "-m", "api"], env=inherited | ours, stdout=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def nats_away(nats_server: NatsServer) -> None:
    nats_server.stop()


class TestWithoutDatabase:
    @pytest.fixture
    def database_url(self) -> str:
        return f"postgresql://estafette@127.0.0.1:{free_port()}/none"

    async def test_it_asks_for_patience(self, application: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(application + PIPELINES) as response:
            assert response.status == 503
            assert set(await response.json()) == {"code", "message"}

    async def test_it_is_alive_and_not_ready(self, application: str) -> None:
        async with aiohttp.ClientSession() as session:
            async with session.get(application + "/liveness") as response:
                assert response.status == 200
            async with session.get(application + "/readiness") as response:
                assert response.status == 503


async def test_what_is_stored_is_answered_before_nats_was_there(nats_away: None, application: str) -> None:
    async with aiohttp.ClientSession() as session:

        async def answered() -> bool:
            async with session.get(application + PIPELINES) as response:
                return response.status == 200

        await eventually(answered)


class TestProcess:
    @pytest.fixture
    def application(self, process: subprocess.Popen[bytes], settings: Settings) -> str:
        return f"http://{settings.host}:{settings.port}"

    async def test_it_ends_at_once_when_nobody_watches(self, scene: Any, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)

        assert await asyncio.to_thread(process.wait, 5) == 0

    async def test_it_sends_its_viewers_to_a_replica_at_once(
        self, scene: Any, process: subprocess.Popen[bytes]
    ) -> None:
        await scene.build()
        async with scene.session.get(scene.url + scene.stream_path):
            await scene.followed()

            process.send_signal(signal.SIGTERM)

            assert await asyncio.to_thread(process.wait, 5) == 0
