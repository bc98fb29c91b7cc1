"""Record the stream anew, where the messages or the manifests change: `python -m tests.replay.record`.

A planner is told what happens window by window, and the jobs that it requests are taken up in the next one.
"""

import asyncio
import json
import tempfile
from pathlib import Path

import nats
from estafette_common.database.migrating import migrate
from estafette_local.servers import NatsServer, PostgresServer

from tests.conftest import SAMPLES
from tests.replay.planners import Planners
from tests.replay.player import Player
from tests.replay.recording import Window, write
from tests.replay.repositories import Repositories
from tests.replay.scenes import SCENES
from tests.replay.story import Samples, Story


def samples() -> Samples:
    """Return GitHub's own samples of the events that are told of repositories."""
    events = json.loads((SAMPLES / "index.json").read_text())
    return {event["name"]: [each for each in event["examples"] if "repository" in each] for event in events}


async def record(folder: Path) -> list[Window]:
    """Return what happened, window by window."""
    server, postgres = NatsServer(folder / "nats"), PostgresServer(folder / "postgres")
    server.start()
    postgres.start()
    database_url = postgres.url("postgres")
    await migrate(database_url)
    told, played = Repositories(folder / "told"), Repositories(folder / "played")
    planners = Planners(folder, nats_url=server.url, database_url=database_url, clone_url=played.clone_url)
    await planners.start()
    client = await nats.connect(server.url)
    player, story, windows = Player(client, database_url, played), Story(samples(), told), []
    for window in story.windows(SCENES):
        player.commit(window)
        await player.tell(window.told)
        await player.until_idle()
        story.hear(await player.requests())
        windows.append(window)
    await client.close()
    planners.stop()
    postgres.stop()
    server.stop()
    return windows


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="estafette-") as name:
        Path(name).chmod(0o755)
        write(asyncio.run(record(Path(name))))
