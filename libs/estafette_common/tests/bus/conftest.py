"""A bus, and JetStream beside it."""

from collections.abc import AsyncIterator

import nats
import pytest
from estafette_common.bus.bus import Bus
from estafette_local.servers import NatsServer
from nats.js import JetStreamContext


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    bus = Bus(nats_server.url, source="test")
    yield bus
    await bus.stop()


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_server.url)
    yield client.jetstream()
    await client.close()
