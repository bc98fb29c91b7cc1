"""A recorded stream gives the same builds, numbers, releases and decisions, however often a planner is killed."""

import asyncio
from random import Random

import pytest
from estafette_local.servers import PostgresServer

from tests.replay.player import Tables, check_same
from tests.replay.recording import Window, read
from tests.replay.scene import replay, scene

KILLS = 50

LONGEST_LIFE = 0.4
"""Seconds of a window after which a planner is killed at the latest: it takes about as long."""

ACK_WAIT = 1.0
"""Seconds after which a message of a killed planner goes to the other one; in earnest 15."""


@pytest.mark.timeout(600)
async def test_with_a_planner_killed_fifty_times_it_leads_to_the_same(
    expected: Tables, postgres_server: PostgresServer, migrated_template: str
) -> None:
    random = Random()
    windows = len(read())
    kills = sorted(random.randrange(windows) for _ in range(KILLS))
    number = iter(range(windows))

    async def play(window: Window) -> None:
        told = asyncio.create_task(player.tell(window.told))
        for _ in range(kills.count(next(number))):
            await asyncio.sleep(random.uniform(0, LONGEST_LIFE))
            replica = random.randrange(2)
            await planners.kill(replica)
            await planners.wait_ready(replica)
            await player.shorten_ack_wait(ACK_WAIT)
        await told

    async with scene(postgres_server, migrated_template) as (player, planners):
        tables = await replay(player, play)

    check_same(tables, expected)
