"""The bus as a service sees it: register handlers, publish, start, stop."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import nats.errors
import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsCredentials, NatsMessage, PullSub
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from estafette_common.bus.connection import RECONNECT_WAIT, check_version, log_error, servers
from estafette_common.bus.delivery import NotUnderstoodError, next_try, obituary
from estafette_common.bus.messages.commands import Answer
from estafette_common.bus.messages.logs import LogChunk, SealedLogChunk
from estafette_common.bus.messages.message import Cause, Encoded, Envelope, Message
from estafette_common.bus.messages.replay import Replay
from estafette_common.bus.publishing import JetStreamPublisher, NotStoredError
from estafette_common.bus.subjects import COMMAND_REPLAY, fill, stream_of
from estafette_common.bus.topology import Consumer, declare
from estafette_common.bus.watching import Watch
from estafette_common.metrics import AGE_SECONDS, HANDLED, HANDLING_SECONDS, REDELIVERED
from estafette_common.telemetry import handling

log = structlog.get_logger()

FETCH = 5.0
"""Seconds one request for a message stays open. Each costs some 0.7 ms of processor, here and at the server;
messages may wait as long when another server of a cluster begins to lead their consumer."""

HANDING_BACK = 0.05
"""Seconds that what was on its way when fetching stopped has to be handed back."""

ASK_AGAIN = {"Status": "503"}
"""Headers of what a server says when it does not know of a request; then FastStream asks again."""

Body = TypeVar("Body", bound=Message | SealedLogChunk | Replay)
Handler = Callable[[Body, Cause], Awaitable[None]]


class _Broker(NatsBroker):
    def _log_connection_broken(self, error_cb: Any = None) -> Any:
        """Only log. FastStream's own callback raises on an authorization error, which ends reconnecting for ever."""
        return error_cb or log_error


class Bus:
    """JetStream for one service. Nothing happens before `start`; `stop` finishes what is in hand."""

    def __init__(self, url: str, *, source: str, credentials: Path | None = None, grace: float = 20.0) -> None:
        """Prepare for the servers at `url`, separated by commas; `credentials` is a NATS credentials file, if any."""
        self._source = source
        self._consumers: list[Consumer] = []
        self._handlers: dict[str, tuple[Consumer, Handler[Any]]] = {}
        self._stopping = False
        self._started = False
        self._broker = _Broker(
            servers(url),
            name=source,
            security=NatsCredentials(credentials) if credentials else None,
            logger=None,  # it would say twice what the handlers say once
            apply_types=False,
            decoder=_as_it_came,
            graceful_timeout=grace,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT,
            connect_timeout=2,
            ping_interval=10,
            max_outstanding_pings=2,
            closed_cb=self._closed,
            reconnected_cb=self._ask_again,
        )

    def consume(self, consumer: Consumer, handler: Handler[Any]) -> None:
        """Let `handler` take the messages of `consumer`, `concurrency` of them at a time.

        The handler has its effect and publishes; the bus acknowledges when it returns. What it raises decides
        between a later try and the dead letters, see `delivery`. Those can be replayed to it.
        """
        self._handlers[consumer.durable] = consumer, handler
        self._subscribe(consumer, handler)

    def _subscribe(self, consumer: Consumer, handler: Handler[Any]) -> None:
        self._consumers.append(consumer)

        async def receive(message: NatsMessage) -> None:
            await self._handle(consumer, handler, message.raw_message)

        for _ in range(consumer.concurrency):
            # One loop for each message in hand, so that none waits in memory while its ack_wait runs.
            subscriber = self._broker.subscriber(
                consumer.subject,
                stream=JStream(stream_of(consumer.message.SUBJECT), declare=False),
                durable=consumer.durable,
                pull_sub=PullSub(batch_size=1, timeout=FETCH),
                ack_policy=AckPolicy.MANUAL,
                no_reply=True,
                include_in_schema=False,
            )
            _hand_back_what_comes_too_late(subscriber)
            subscriber(receive)

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        """Return when JetStream has stored the message; see `Publisher`."""
        if not self._started:
            raise NotStoredError(f"{message.subject}: not connected to NATS yet")
        await self._publisher.publish(message, id=id, after=after)

    async def publish_all(self, messages: Mapping[str, Message | Encoded | LogChunk]) -> None:
        """Return when JetStream has stored all messages; see `Publisher`."""
        if not self._started:
            raise NotStoredError("not connected to NATS yet")
        await self._publisher.publish_all(messages)

    async def answer(self, to: str, answer: Answer) -> None:
        """Tell who asked, if anybody waits; once, for the one who hears nothing asks again."""
        if to:
            headers = {"ce-type": answer.TYPE, "content-type": Message.CONTENT_TYPE}
            await self._connection.publish(to, answer.model_dump_json(exclude_none=True).encode(), headers=headers)

    @property
    def jetstream(self) -> JetStreamContext:
        """The JetStream context, for readers that are no consumers."""
        return self._jetstream

    async def start(self) -> None:
        """Connect, declare what the server shall have, begin to consume. Waits for the server if need be."""
        if self._handlers:
            subject = fill(COMMAND_REPLAY, service=self._source)
            self._subscribe(Consumer(durable=f"{self._source}-replay", message=Replay, only=subject), self._replay)
        await self._broker.connect()
        self._connection = self._broker.config.broker_config.connection_state.connection
        check_version(self._connection)
        self._jetstream = self._connection.jetstream()
        self._publisher = JetStreamPublisher(self._connection, source=self._source)
        await self._publisher.start()
        await declare(self._jetstream, self._consumers)
        self._started = True  # handlers may publish as soon as the first message comes
        await self._broker.start()
        self._watch = Watch(self._jetstream, self._consumers)
        await self._watch.start()

    async def stop(self) -> None:
        """Stop fetching, finish or hand back what is in hand, close."""
        self._stopping = True
        if not self._started:
            return
        if hasattr(self, "_watch"):
            await self._watch.stop()
        self._stop_fetching()
        if self._consumers:
            await self._withdraw()
        await self._broker.stop()

    async def ready(self) -> bool:
        """Return whether NATS answers and knows every consumer of this service."""
        if not self._started or not await self._broker.ping(timeout=1):
            return False
        try:
            for consumer in self._consumers:
                await self._jetstream.consumer_info(stream_of(consumer.message.SUBJECT), consumer.durable, 1)
        except (nats.errors.Error, TimeoutError):
            return False
        return True

    async def _handle(self, consumer: Consumer, handler: Handler[Any], message: Msg) -> None:
        started = perf_counter()
        beat = asyncio.create_task(_report_progress(message, every=consumer.ack_wait / 3))
        error: BaseException | None = None
        place = message.metadata
        if place.num_delivered > 1:
            REDELIVERED.labels(consumer.durable).inc()
        envelope = Envelope.from_headers(
            message.headers or {},
            default_id=f"{place.stream}/{place.sequence.stream}",
            default_time=place.timestamp,
        )
        try:
            with handling(consumer.durable, envelope, message.headers or {}):
                await handler(_decode(consumer.message, message.subject, message.data, message.headers), envelope)
        except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001  how it ended decides what becomes of it
            error = raised
        finally:
            beat.cancel()
        try:
            await self._settle(consumer, message, envelope, error)
        except Exception:
            log.exception("not settled; it will be delivered again", subject=message.subject)
        HANDLING_SECONDS.labels(consumer.durable).observe(perf_counter() - started)
        if isinstance(error, asyncio.CancelledError):
            raise error

    async def _replay(self, replay: Replay, cause: Cause) -> None:
        """Handle a dead letter as its consumer would; another replica may have a consumer that is not here."""
        if replay.consumer not in self._handlers:
            raise NotUnderstoodError(f"{self._source} has no consumer {replay.consumer}")
        consumer, handler = self._handlers[replay.consumer]
        await handler(_decode(consumer.message, replay.original, replay.body, replay.headers), cause)

    async def _settle(self, consumer: Consumer, message: Msg, envelope: Envelope, error: BaseException | None) -> None:
        tries = message.metadata.num_delivered
        if error is None:
            await message.ack()
            HANDLED.labels(consumer.durable, "handled").inc()
            age = datetime.now(UTC) - message.metadata.timestamp
            AGE_SECONDS.labels(consumer.durable).observe(max(0.0, age.total_seconds()))
        elif (delay := next_try(error, tries=tries, backoff=consumer.backoff)) is None:
            log.error("buried", subject=message.subject, tries=tries, exc_info=error)
            subject, headers = obituary(message, error, envelope, service=self._source)
            await self._publisher.store(subject, message.data, headers)
            await message.term()
            HANDLED.labels(consumer.durable, "buried").inc()
        else:
            log.warning(
                "will be tried again",
                subject=message.subject,
                tries=tries,
                delay=delay,
                error=repr(error),
                cause=repr(error.__cause__),
            )
            await message.nak(delay=delay)
            HANDLED.labels(consumer.durable, "again").inc()

    async def _closed(self) -> None:
        """End the process when NATS is lost for good: FastStream would fetch in a hot loop."""
        if not self._stopping:
            log.critical("nats connection closed for good")
            self._stop_fetching()
            os.kill(os.getpid(), signal.SIGTERM)

    def _stop_fetching(self) -> None:
        for subscriber in self._broker.subscribers:
            subscriber.running = False

    async def _withdraw(self) -> None:
        """Let the server forget the requests that are open, and hand back what it has sent by then."""
        for pulls in self._pulls():
            await self._connection._send_unsubscribe(pulls._id)  # noqa: SLF001  `unsubscribe` would lose what comes
        with suppress(nats.errors.Error, TimeoutError):  # a server that is away has forgotten them
            await self._connection.flush(timeout=1)
        await self._ask_again()
        await asyncio.sleep(HANDING_BACK)

    async def _ask_again(self) -> None:
        """Let each request end that is open: a server that was started again does not know of it."""
        for pulls in self._pulls():
            pulls._pending_queue.put_nowait(Msg(self._connection, headers=ASK_AGAIN))  # noqa: SLF001  no other way

    def _pulls(self) -> list[Any]:
        """Return the subscriptions on which messages come that were asked for."""
        subscriptions: list[Any] = [getattr(each, "subscription", None) for each in self._broker.subscribers]
        return [each._sub for each in subscriptions if each is not None]  # noqa: SLF001  the library has no way to wake it


def _decode(
    kind: type[Message] | type[SealedLogChunk] | type[Replay],
    subject: str,
    body: bytes,
    headers: Mapping[str, str] | None,
) -> Message | SealedLogChunk | Replay:
    """Return what a message says. What names another job than its subject was told by who may not tell it."""
    try:
        decoded = kind.decode(body, headers or {})
    except ValueError as error:
        raise NotUnderstoodError(str(error)) from error
    if decoded.subject != subject:
        raise NotUnderstoodError(f"it belongs on {decoded.subject}")
    return decoded


async def _as_it_came(message: Any) -> Any:
    return message


async def _report_progress(message: Msg, *, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        with suppress(nats.errors.Error):
            await message.in_progress()


def _hand_back_what_comes_too_late(subscriber: Any) -> None:
    """Return to the server what a fetch still brings after we stopped. FastStream drops it."""
    consume = subscriber.consume

    async def consume_or_return(message: Msg) -> None:
        if subscriber.running:
            await consume(message)
        else:
            await message.nak()

    subscriber.consume = consume_or_return
