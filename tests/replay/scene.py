"""Where the stream is played: servers, repositories and planners that nobody used yet."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import nats
from estafette_local.servers import NatsServer, PostgresServer

from tests.replay.planners import Planners
from tests.replay.player import Player, Tables
from tests.replay.recording import Window, read
from tests.replay.repositories import Repositories

Scene = tuple[Player, Planners]


@asynccontextmanager
async def scene(postgres_server: PostgresServer, template: str) -> AsyncIterator[Scene]:
    """Two planners, and who tells them; `template` is the database to copy from. What they log is shown on an error."""
    folder = Path(tempfile.mkdtemp(prefix="estafette-replay-"))
    name = folder.name.replace("-", "_").lower()
    server, repositories = NatsServer(folder / "nats"), Repositories(folder / "repositories")
    server.start()
    admin = await asyncpg.connect(postgres_server.url("postgres"))
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE {template}')
    database_url = postgres_server.url(name)
    planners = Planners(folder, nats_url=server.url, database_url=database_url, clone_url=repositories.clone_url)
    client = await nats.connect(server.url)
    try:
        await planners.start()
        yield Player(client, database_url, repositories), planners
    except Exception as error:
        error.add_note(planners.logs)
        raise
    finally:
        await client.close()
        planners.stop()
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def replay(player: Player, play: Callable[[Window], Awaitable[None]]) -> Tables:
    """Play the recorded stream, one window after the other; returns what is stored in the end."""
    for window in read():
        player.commit(window)
        await play(window)
        await player.until_idle()
    assert await player.buried() == 0
    return await player.tables()
