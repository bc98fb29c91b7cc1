"""What is answered while the database or NATS is away, and that it is as before when they are back."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from estafette_common.database.migrating import migrate
from estafette_local.servers import NatsServer, PostgresServer
from estafette_local.waiting import eventually

PIPELINES = "/api/pipelines"


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that a test may stop."""
    folder = Path(tempfile.mkdtemp(prefix="estafette-postgres-"))
    folder.chmod(0o755)
    server = PostgresServer(folder / "data")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def database_url(own_postgres: PostgresServer) -> str:
    url = own_postgres.url("postgres")
    await migrate(url)
    return url


async def status(scene: Any, path: str) -> int:
    async with scene.session.get(scene.url + path) as response:
        return int(response.status)


async def refusal(scene: Any, path: str) -> tuple[int, set[str]]:
    async with scene.session.get(scene.url + path) as response:
        return response.status, set(await response.json())


async def test_every_answer_asks_for_patience_while_the_database_is_away(
    scene: Any, own_postgres: PostgresServer
) -> None:
    own_postgres.stop()

    for _ in range(3):
        assert await refusal(scene, PIPELINES) == (503, {"code", "message"})


async def test_the_database_may_go_and_come_back(scene: Any, own_postgres: PostgresServer) -> None:
    own_postgres.stop()
    await eventually(lambda: _is(scene, PIPELINES, 503))
    assert await status(scene, "/readiness") == 503
    assert await status(scene, "/liveness") == 200

    own_postgres.start()

    await eventually(lambda: _is(scene, PIPELINES, 200))


async def test_a_live_log_goes_on_while_the_database_is_away(scene: Any, own_postgres: PostgresServer) -> None:
    await scene.build()
    chunks = scene.log("1", "2", "3")
    async with scene.session.get(scene.url + scene.stream_path) as response:
        await scene.followed()
        own_postgres.stop()
        while await response.content.readline() != b"event: ping\n":  # later than a quiet build is looked at again
            pass

        await scene.publish(*chunks)

        async with asyncio.timeout(5):
            said = [await response.content.readline() for _ in range(9)]
    own_postgres.start()
    assert sum(line.startswith(b"data: {") for line in said) > 0


async def test_what_is_stored_is_answered_while_nats_is_away(scene: Any, nats_server: NatsServer) -> None:
    await scene.build(status="succeeded")
    await scene.store(*scene.log("1", "2"))
    nats_server.stop()

    assert await status(scene, PIPELINES) == 200
    assert scene.texts(await scene.watch()) == ["1", "2"]


async def test_a_viewer_who_comes_while_nats_is_away_sees_what_follows(scene: Any, nats_server: NatsServer) -> None:
    await scene.build()
    nats_server.stop()
    with structlog.testing.capture_logs() as logs:
        viewer = scene.viewer()
        await eventually(lambda: "cannot follow a log now" in {each["event"] for each in logs}, within=30)
    nats_server.start()

    await eventually(lambda: _published(scene), within=20)
    await scene.end()

    async with asyncio.timeout(15):
        assert scene.texts(await viewer) == ["1", "2"]


async def _published(scene: Any) -> bool:
    await scene.publish(*scene.log("1", "2"))
    return True


async def _is(scene: Any, path: str, expected: int) -> bool:
    return await status(scene, path) == expected
