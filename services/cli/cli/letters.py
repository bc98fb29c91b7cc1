"""Dead letters: the messages that could not be handled, as their stream keeps them."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

import nats.errors
import nats.js.errors
from estafette_common.bus.delivery import Origin
from estafette_common.bus.publishing import JetStreamPublisher, NotStoredError, TooLargeError
from estafette_common.bus.subjects import COMMAND_REPLAY, DEAD, STREAMS, fill
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy, Header

from cli.server import Bus, ServerError

SILENCE = 5.0
"""Seconds without a message after which a stream that should have more is given up."""

STREAM = STREAMS[DEAD].name


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message that could not be handled."""

    number: int
    """Its sequence in the stream; never used again."""
    at: datetime
    """When it was given up."""
    headers: Mapping[str, str]
    body: bytes

    @property
    def subject(self) -> str:
        """The subject it had."""
        return self.headers.get(Origin.SUBJECT, "")

    @property
    def service(self) -> str:
        """The service that gave up on it; empty when it does not say."""
        return self.headers.get(Origin.SERVICE, "")

    @property
    def consumer(self) -> str:
        """The consumer that gave up on it."""
        return self.headers.get(Origin.CONSUMER, "")

    @property
    def tries(self) -> str:
        """How often it was tried."""
        return self.headers.get(Origin.TRIES, "")

    @property
    def reason(self) -> str:
        """Why it was given up, for people."""
        return unquote(self.headers.get(Origin.REASON, ""))


class Letters:
    """Reads dead letters, sends them back, forgets them. All raise ServerError."""

    def __init__(self, client: Client, publisher: JetStreamPublisher) -> None:
        self._jetstream = client.jetstream()
        self._publisher = publisher

    async def all(self, *, of_consumer: str = "") -> list[Letter]:
        """Return the letters, oldest first, without their bodies; those of one consumer where one is named."""
        with _asking():
            return [each async for each in self._every() if of_consumer in {"", each.consumer}]

    async def get(self, number: int) -> Letter:
        """Return a letter with its body."""
        try:
            with _asking():
                found = await self._jetstream.get_msg(STREAM, number)
        except nats.js.errors.NotFoundError:
            raise ServerError(f"there is no dead letter {number}") from None
        at = found.time or datetime.fromtimestamp(0, UTC)
        return Letter(number=number, at=at.astimezone(UTC), headers=found.headers or {}, body=found.data or b"")

    async def replay(self, number: int) -> Letter:
        """Send a letter to the consumer that gave up on it, then forget it.

        Its id is that of this letter: JetStream drops the second of two replays, and never takes one for a repeat of
        the message itself.
        """
        letter = await self.get(number)
        if not letter.service:
            raise ServerError(f"dead letter {number} does not say which service gave up on it; it cannot be replayed")
        headers = {**letter.headers, Header.MSG_ID.value: f"replay/{number}"}
        try:
            await self._publisher.store(fill(COMMAND_REPLAY, service=letter.service), letter.body, headers)
        except (NotStoredError, TooLargeError) as error:
            raise ServerError(f"dead letter {number} could not be replayed: {error}") from None
        await self.drop(number)
        return letter

    async def drop(self, number: int) -> None:
        """Forget a letter; nothing happens when there is none."""
        with _asking(), suppress(nats.js.errors.NotFoundError):
            await self._jetstream.delete_msg(STREAM, number)

    async def _every(self) -> AsyncIterator[Letter]:
        try:
            left = (await self._jetstream.stream_info(STREAM)).state.messages
        except nats.js.errors.NotFoundError:  # no service was ever started
            return
        if not left:
            return
        subscription = await self._jetstream.subscribe(
            f"{DEAD}.>",
            stream=STREAM,
            ordered_consumer=True,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, headers_only=True),
        )
        try:
            while left:
                message = await subscription.next_msg(timeout=SILENCE)
                yield _letter(message)
                left = message.metadata.num_pending
        finally:
            await subscription.unsubscribe()


@asynccontextmanager
async def letters(bus: Bus) -> AsyncIterator[Letters]:
    """Open the dead letters."""
    async with bus.connected() as client:
        publisher = JetStreamPublisher(client, source="cli")
        await publisher.start()
        yield Letters(client, publisher)


@contextmanager
def _asking() -> Iterator[None]:
    """Tell of JetStream's errors in the words of the command line; what is not there is for the caller."""
    try:
        yield
    except nats.js.errors.NotFoundError:
        raise
    except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
        raise ServerError(f"the dead letters cannot be read: {error or type(error).__name__}") from None


def _letter(message: Msg) -> Letter:
    place = message.metadata
    return Letter(
        number=place.sequence.stream, at=place.timestamp.astimezone(UTC), headers=message.headers or {}, body=b""
    )
