"""Looks now and then at streams and consumers, for the metrics."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import nats.errors
import nats.js.errors
import structlog
from nats.js import JetStreamContext

from estafette_common.bus.subjects import DEAD, STREAMS, stream_of
from estafette_common.bus.topology import Consumer
from estafette_common.metrics import ACK_AGE, DEAD_LETTERS, IN_HAND, LAG, LOOKED, STREAM_BYTES, STREAM_MESSAGES
from estafette_common.service import Background

log = structlog.get_logger()

LOOK_EVERY = 15.0
"""Seconds; as often as Prometheus usually asks."""

LOOKS_WITHIN = 10.0
"""Seconds."""


class Watch(Background):
    """Keeps the metrics of the streams, and of the consumers of one service."""

    def __init__(self, jetstream: JetStreamContext, consumers: Sequence[Consumer]) -> None:
        self._jetstream = jetstream
        self._consumers = consumers

    async def look(self) -> None:
        """Look once. Raises nats errors and TimeoutError."""
        for stream in STREAMS.values():
            state = (await self._jetstream.stream_info(stream.name)).state
            STREAM_MESSAGES.labels(stream.name).set(state.messages)
            STREAM_BYTES.labels(stream.name).set(state.bytes)
            if stream is STREAMS[DEAD]:
                DEAD_LETTERS.set(state.messages)
        for consumer in self._consumers:
            await self._look_at(consumer)
        LOOKED.set_to_current_time()

    async def _look_at(self, consumer: Consumer) -> None:
        stream = stream_of(consumer.subject)
        info = await self._jetstream.consumer_info(stream, consumer.durable)
        waiting, in_hand = info.num_pending or 0, info.num_ack_pending or 0
        acknowledged = info.ack_floor.stream_seq if info.ack_floor else 0
        LAG.labels(consumer.durable).set(waiting + in_hand)
        IN_HAND.labels(consumer.durable).set(in_hand)
        age = await self._age(stream, consumer.subject, acknowledged + 1) if waiting + in_hand else 0.0
        ACK_AGE.labels(consumer.durable).set(age)

    async def _age(self, stream: str, subject: str, first: int) -> float:
        """Return the seconds since a message was stored: the first of the subject from a sequence on."""
        try:
            oldest = await self._jetstream.get_msg(stream, first, subject, next=True)
        except nats.js.errors.NotFoundError:  # acknowledged meanwhile
            return 0.0
        return max(0.0, (datetime.now(UTC) - oldest.time).total_seconds()) if oldest.time else 0.0

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOKS_WITHIN):
                    await self.look()
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
                log.debug("streams could not be looked at", error=repr(error))
            except Exception:
                log.exception("streams could not be looked at")
            await asyncio.sleep(LOOK_EVERY)
