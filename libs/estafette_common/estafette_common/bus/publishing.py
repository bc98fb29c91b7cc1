"""The one way to publish: with an id and a trace, stored by JetStream, or an error.

The acknowledgements come back through one inbox that all publishes of a process share: half the cost per message
of a request each, see `bench/`.
"""

import asyncio
from datetime import UTC, datetime
from itertools import count
from typing import Protocol

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header

from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.messages.message import Encoded, Envelope, Message
from estafette_common.bus.subjects import stream_of
from estafette_common.telemetry import traceparent

log = structlog.get_logger()

PUBACK_TIMEOUT = 2.5
"""Seconds to wait for JetStream to store a message. All tries together stay below the 10 s that GitHub waits."""

PAUSES = (0.1, 0.5)
"""Seconds before the second and the third try. More patience is the caller's: a redelivery, a forge's retry."""

NO_ROOM = {10047, 10077, 10122, 10023}
"""JetStream's errors for a full stream or account: insufficient resources, maximum messages or bytes reached."""

NOT_NEXT = 10071
"""JetStream's error for a message that was to follow another one than the last of its subject."""


class NotStoredError(Exception):
    """JetStream did not confirm. It may have stored the message all the same: repeat it, with the same id."""


class StreamFullError(NotStoredError):
    """The stream has no room. It refuses new messages rather than drop old ones; ask again later."""


class TooLargeError(Exception):
    """The message is larger than the server accepts; repeating it cannot help."""


class NotNextError(Exception):
    """Another message took the place on the subject that this one was to have; look again before deciding."""


class Publisher(Protocol):
    """What a handler needs of the bus to tell something."""

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        """Return when the message is stored; the same id twice is stored once.

        With `after`, it is stored only if the last message of its subject has that sequence (0: there is none).
        Raises NotStoredError, StreamFullError, TooLargeError or NotNextError.
        """
        ...


class _Refusal(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: _Refusal | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class JetStreamPublisher:
    """Publishes to JetStream and waits until the message is stored. `start` it on a connected client."""

    def __init__(self, client: Client, *, source: str) -> None:
        self._client = client
        self._source = source
        self._tokens = count(1)
        self._waiting: dict[str, asyncio.Future[_Answer]] = {}

    async def start(self) -> None:
        """Begin to listen for acknowledgements."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._take_answer)

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        """Return when the message is stored; see `Publisher`."""
        envelope = Envelope(id=id, type=message.TYPE, source=self._source, time=datetime.now(UTC))
        headers = envelope.headers(content_type=message.CONTENT_TYPE)
        headers.update(message.headers)
        if trace := traceparent():
            headers["traceparent"] = trace
        if after is not None:
            headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE] = str(after)
        await self.store(message.subject, message.encode(), headers)

    async def store(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Store a body as it is, with bounded tries. Raises as `publish` does."""
        headers[Header.EXPECTED_STREAM] = stream_of(subject)
        for pause in PAUSES:
            try:
                await self._try(subject, body, headers)
            except StreamFullError:
                raise
            except NotStoredError as error:
                log.warning("publish is tried again", subject=subject, error=str(error))
                await asyncio.sleep(pause)
            else:
                return
        await self._try(subject, body, headers)

    async def _try(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        token = str(next(self._tokens))
        acknowledged: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._waiting[token] = acknowledged
        try:
            await self._client.publish(subject, body, f"{self._inbox}.{token}", headers)
            async with asyncio.timeout(PUBACK_TIMEOUT):
                answer = await acknowledged
        except nats.errors.MaxPayloadError as error:
            raise TooLargeError(f"{subject}: {len(body)} bytes") from error
        except (nats.errors.Error, TimeoutError) as error:
            raise NotStoredError(f"{subject}: {error!r}") from error
        finally:
            del self._waiting[token]
        if answer.error is not None:
            _raise(subject, answer.error)

    async def _take_answer(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is None or waiting.done():
            return
        if message.data:
            waiting.set_result(_ANSWER.decode(message.data))
        else:  # the server says with a status that nobody stores the subject
            status = (message.headers or {}).get("Status", "")
            waiting.set_exception(NotStoredError(f"{status} no stream stores it"))


def _raise(subject: str, error: _Refusal) -> None:
    description = f"{subject}: {error.description} ({error.err_code})"
    if error.err_code == NOT_NEXT:
        raise NotNextError(description)
    if error.err_code in NO_ROOM:
        raise StreamFullError(description)
    raise NotStoredError(description)
