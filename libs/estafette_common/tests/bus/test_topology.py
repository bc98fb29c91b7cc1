"""Declaring streams and consumers."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest
from estafette_common.bus.subjects import STREAMS
from estafette_common.bus.topology import StreamError, declare
from estafette_local.servers import NatsServer

GIB = 1024**3


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[Callable[[int], NatsServer]]:
    """Start a server that keeps no more than so many bytes."""
    started: list[NatsServer] = []

    def start(most_stored: int) -> NatsServer:
        server = NatsServer(tmp_path / "nats", most_stored=most_stored)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


async def test_services_that_start_in_the_same_moment_all_find_their_streams(nats_server: NatsServer) -> None:
    clients = [await nats.connect(nats_server.url) for _ in range(10)]

    await asyncio.gather(*(declare(client.jetstream(), []) for client in clients))

    found = {each.config.name for each in await clients[0].jetstream().streams_info()}
    assert found == {stream.name for stream in STREAMS.values()}
    for client in clients:
        await client.close()


async def test_there_need_be_no_more_room_than_for_one_of_each(small_server: Callable[[int], NatsServer]) -> None:
    server = small_server(30 * GIB)
    clients = [await nats.connect(server.url) for _ in range(10)]

    await asyncio.gather(*(declare(client.jetstream(), []) for client in clients))

    assert len(await clients[0].jetstream().streams_info()) == len(STREAMS)
    for client in clients:
        await client.close()


async def test_a_stream_without_room_is_told_by_name(small_server: Callable[[int], NatsServer]) -> None:
    client = await nats.connect(small_server(GIB).url)

    with pytest.raises(StreamError, match="LOGS, 21474836480 bytes: insufficient storage"):
        await declare(client.jetstream(), [])

    await client.close()


async def test_a_stream_that_drifted_is_repaired(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.url)
    jetstream = client.jetstream()
    await declare(jetstream, [])
    config = (await jetstream.stream_info("EVENTS")).config
    await jetstream.update_stream(config.evolve(max_age=86_400.0))

    await declare(jetstream, [])

    assert (await jetstream.stream_info("EVENTS")).config.max_age == STREAMS["event"].max_age
    await client.close()
