"""What the stream leads to when all comes once, as it was recorded."""

import pytest
from estafette_local.servers import PostgresServer

from tests.replay.player import Tables
from tests.replay.scene import replay, scene


@pytest.fixture(scope="package")
async def expected(postgres_server: PostgresServer, migrated_template: str) -> Tables:
    """Return what is stored in the end."""
    async with scene(postgres_server, migrated_template) as (player, _):
        return await replay(player, lambda window: player.tell(window.told))
