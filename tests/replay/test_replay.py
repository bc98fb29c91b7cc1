"""A recorded stream gives the same builds, numbers, releases and decisions, however it is delivered."""

from random import Random

from estafette_local.servers import PostgresServer

from tests.replay.player import Tables, check_same
from tests.replay.recording import Window, read
from tests.replay.scene import replay, scene


def test_the_stream_is_long_and_mixed() -> None:
    types = [told.headers["ce-type"] for window in read() for told in window.told]
    assert len(types) >= 200
    assert len(set(types)) >= 15


def test_it_leads_to_much(expected: Tables) -> None:
    decisions = {row["decision"] for row in expected["decisions"]}
    assert decisions >= {"started", "waiting", "superseded", "canceled", "ignored", "rejected"}
    assert len(expected["builds"]) > 50
    assert expected["releases"]
    assert expected["bots"]


async def test_told_again_to_new_planners_it_leads_to_the_same(
    expected: Tables, postgres_server: PostgresServer, migrated_template: str
) -> None:
    async with scene(postgres_server, migrated_template) as (player, _):
        tables = await replay(player, lambda window: player.tell(window.told))

    check_same(tables, expected)


async def test_with_every_message_three_times_in_any_order_it_leads_to_the_same(
    expected: Tables, postgres_server: PostgresServer, migrated_template: str
) -> None:
    random = Random(5)

    async def play(window: Window) -> None:
        told = window.told * 3
        random.shuffle(told)
        await player.tell(told)

    async with scene(postgres_server, migrated_template) as (player, _):
        tables = await replay(player, play)

    check_same(tables, expected)
