"""Looking up one message among all that a stream keeps, by its id."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from estafette_common.bus.messages.message import Envelope
from estafette_common.bus.subjects import stream_of

SILENCE = 5.0
"""Seconds without a message after which a stream that should have more is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A stored message, without its body."""

    subject: str
    sequence: int
    envelope: Envelope


async def find(jetstream: JetStreamContext, ids: Sequence[str], *, subject: str = "event.>") -> list[Found]:
    """Return the stored messages with one of these ids, oldest first.

    JetStream has no index of ids: the headers of the whole stream are read, which takes seconds for 100,000 messages.
    Raises nats.errors.Error and TimeoutError.
    """
    return [found async for found in _all(jetstream, subject) if found.envelope.id in ids]


async def _all(jetstream: JetStreamContext, subject: str) -> AsyncIterator[Found]:
    subscription = await jetstream.subscribe(
        subject,
        stream=stream_of(subject),
        ordered_consumer=True,
        config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, headers_only=True),
    )
    known = await subscription.consumer_info()
    try:
        left = (known.num_pending or 0) + (known.delivered.consumer_seq if known.delivered else 0)
        while left:
            message = await subscription.next_msg(timeout=SILENCE)
            yield _found(message)
            left = message.metadata.num_pending
    finally:
        with suppress(nats.errors.Error, nats.js.errors.Error):
            await subscription.unsubscribe()
            await jetstream.delete_consumer(known.stream_name, known.name)


def _found(message: Msg) -> Found:
    stored = message.metadata
    envelope = Envelope.from_headers(
        message.headers or {}, default_id="", default_time=stored.timestamp.astimezone(UTC)
    )
    return Found(subject=message.subject, sequence=stored.sequence.stream, envelope=envelope)
