"""Declaring streams and consumers."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest
from estafette_common.bus.connection import connect
from estafette_common.bus.subjects import STREAMS
from estafette_common.bus.topology import StreamError, declare
from estafette_local.servers import Membership, NatsServer, free_port
from estafette_local.waiting import eventually

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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[NatsServer]]:
    """Three servers in a cluster, which share their accounts."""
    ports = [free_port() for _ in range(3)]
    servers = [
        NatsServer(
            tmp_path / str(number),
            accounts=tmp_path / "accounts",
            cluster=Membership(name=f"nats-{number}", port=port, others=tuple({*ports} - {port})),
        )
        for number, port in enumerate(ports)
    ]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.stop()


async def test_a_cluster_keeps_each_stream_three_times_and_may_lose_a_server(
    cluster: list[NatsServer], tmp_path: Path
) -> None:
    url = ",".join(server.url for server in cluster)
    client = await connect(url, name="test", credentials=tmp_path / "accounts" / "services.creds")
    jetstream = client.jetstream()

    async def declared() -> bool:
        await declare(jetstream, [])
        return True

    await eventually(declared, within=60)
    cluster[0].stop()

    async def stored() -> bool:
        return (await jetstream.publish("event.test", b"said")).stream == "EVENTS"

    await eventually(stored, within=60)
    infos = await eventually(jetstream.streams_info, within=60)  # whom to ask is elected anew, too
    assert {info.config.num_replicas for info in infos} == {3}
    await client.close()
