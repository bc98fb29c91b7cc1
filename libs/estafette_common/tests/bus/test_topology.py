"""Declaring streams and consumers."""

import asyncio

import nats
from estafette_common.bus.subjects import STREAMS
from estafette_common.bus.topology import declare
from estafette_local.servers import NatsServer


async def test_services_that_start_in_the_same_moment_all_find_their_streams(nats_server: NatsServer) -> None:
    clients = [await nats.connect(nats_server.url) for _ in range(10)]

    await asyncio.gather(*(declare(client.jetstream(), []) for client in clients))

    found = {each.config.name for each in await clients[0].jetstream().streams_info()}
    assert found == {stream.name for stream in STREAMS.values()}
    for client in clients:
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
