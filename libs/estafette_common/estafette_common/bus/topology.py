"""Declaring streams and consumers on the server, so that it agrees with the code."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError, NotFoundError, ServerError

from estafette_common.bus.messages.logs import SealedLogChunk
from estafette_common.bus.messages.message import Message
from estafette_common.bus.messages.replay import Replay
from estafette_common.bus.subjects import DUPLICATE_WINDOW, STREAMS, Stream, stream_of

log = structlog.get_logger()

ACK_WAIT = 15.0
"""Seconds without a word after which a message goes to a replica. Handlers in progress report every third of it."""

BACKOFF = (0.2, 1.0, 5.0, 15.0, 60.0)
"""Seconds before each further try of a message whose handler failed; after the last it is buried in `dead.>`."""

OPEN_MESSAGES = 1_000
"""Unacknowledged messages of a consumer over all replicas. Generous, for a message waiting for its next try counts."""


PAUSES = (0.1, 0.5, 1.0)
"""Seconds before each further try to create a stream."""

COPIES = 3
"""Servers of a cluster that keep each stream, so that one may be lost. NATS on one server keeps one copy."""

NOT_CLUSTERED = 10074
"""JetStream's error for several copies on one server."""


class StreamError(Exception):
    """A stream cannot be created; the message says which, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A durable reader of one kind of message. Replicas of a service share it; each message goes to one of them."""

    durable: str
    message: type[Message] | type[SealedLogChunk] | type[Replay]
    concurrency: int = 1
    """Messages that one replica handles at a time."""
    backoff: tuple[float, ...] = BACKOFF
    ack_wait: float = ACK_WAIT
    only: str = ""
    """The one subject that it reads, where not every message of the kind is wanted."""

    @property
    def subject(self) -> str:
        """The subjects that it reads."""
        return self.only or self.message.pattern()


async def declare(jetstream: JetStreamContext, consumers: list[Consumer]) -> None:
    """Make the server agree with the code. Harmless when done twice or by several processes at once."""
    for stream in STREAMS.values():
        await _declare_stream(jetstream, stream)
    for consumer in consumers:
        await jetstream.add_consumer(stream_of(consumer.message.SUBJECT), _consumer_config(consumer))


async def _declare_stream(jetstream: JetStreamContext, stream: Stream) -> None:
    wanted = _stream_config(stream)
    try:
        info = await jetstream.stream_info(stream.name)
    except NotFoundError:
        await _create_stream(jetstream, wanted)
        return
    have = info.config
    wanted = wanted.evolve(num_replicas=COPIES if info.cluster and info.cluster.name else 1)
    stated = {name: value for name, value in wanted.as_dict().items() if value is not None}
    found = have.as_dict()
    drift = {name: found.get(name) for name, value in stated.items() if found.get(name) != value}
    if drift:
        await jetstream.update_stream(have.evolve(**{name: getattr(wanted, name) for name in drift}))
        log.warning("stream drifted and was repaired", stream=stream.name, was=drift)


async def _create_stream(jetstream: JetStreamContext, wanted: api.StreamConfig) -> None:
    for pause in (*PAUSES, None):
        try:
            await _add_stream(jetstream, wanted)
        except (BadRequestError, ServerError) as error:
            # nats-server 2.9 tells who comes second in the same moment that the subjects overlap with the stream
            # itself, or that there is no room for what both reserve.
            with suppress(NotFoundError):
                await jetstream.stream_info(str(wanted.name))
                return
            if pause is None:
                reason = f"NATS cannot hold the stream {wanted.name}, {wanted.max_bytes} bytes: {error.description}"
                raise StreamError(reason) from error
            await asyncio.sleep(pause)
        else:
            log.info("stream created", stream=wanted.name)
            return


async def _add_stream(jetstream: JetStreamContext, wanted: api.StreamConfig) -> None:
    try:
        await jetstream.add_stream(wanted.evolve(num_replicas=COPIES))
    except ServerError as error:
        if error.err_code != NOT_CLUSTERED:
            raise
        await jetstream.add_stream(wanted.evolve(num_replicas=1))


def _stream_config(stream: Stream) -> api.StreamConfig:
    return api.StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        max_age=stream.max_age,
        max_bytes=stream.max_bytes,
        discard=api.DiscardPolicy.NEW,
        duplicate_window=DUPLICATE_WINDOW,
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.WORK_QUEUE if stream.until_handled else api.RetentionPolicy.LIMITS,
    )


def _consumer_config(consumer: Consumer) -> api.ConsumerConfig:
    return api.ConsumerConfig(
        name=consumer.durable,
        durable_name=consumer.durable,
        filter_subject=consumer.subject,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait,
        max_deliver=-1,  # we count ourselves: a limit here would leave messages stuck, not buried
        max_ack_pending=OPEN_MESSAGES,
    )
