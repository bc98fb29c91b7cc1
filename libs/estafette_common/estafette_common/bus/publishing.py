"""The one way to publish: with an id and a trace, stored by JetStream, or an error."""

import asyncio
from datetime import UTC, datetime
from typing import Protocol

import nats.errors
import nats.js.errors
import structlog
from nats.js import JetStreamContext
from opentelemetry.propagate import inject

from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.messages.message import Envelope, Message
from estafette_common.bus.subjects import stream_of

log = structlog.get_logger()

PUBACK_TIMEOUT = 2.5
"""Seconds to wait for JetStream to say that it stored a message. With all tries it stays below the 10 s GitHub waits."""

PAUSES = (0.1, 0.5)
"""Seconds before the second and the third try. More patience is the caller's: a redelivery, a forge's retry."""

NO_ROOM = {10047, 10077, 10122, 10023}
"""JetStream's errors for a full stream or account: insufficient resources, maximum messages or bytes reached."""


class NotStoredError(Exception):
    """JetStream did not confirm. It may have stored the message all the same: repeat it, with the same id."""


class StreamFullError(NotStoredError):
    """The stream has no room. It refuses new messages rather than drop old ones; ask again later."""


class TooLargeError(Exception):
    """The message is larger than the server accepts; repeating it cannot help."""


class Publisher(Protocol):
    """What a handler needs of the bus to tell something."""

    async def publish(self, message: Message | LogChunk, *, id: str) -> None:
        """Return when the message is stored; the same id twice is stored once.

        Raises NotStoredError, StreamFullError or TooLargeError.
        """
        ...


class JetStreamPublisher:
    """Publishes to JetStream and waits until the message is stored."""

    def __init__(self, jetstream: JetStreamContext, *, source: str) -> None:
        self._jetstream = jetstream
        self._source = source

    async def publish(self, message: Message | LogChunk, *, id: str) -> None:
        """Return when the message is stored; the same id twice is stored once.

        Raises NotStoredError, StreamFullError or TooLargeError.
        """
        envelope = Envelope(id=id, type=message.TYPE, source=self._source, time=datetime.now(UTC))
        headers = envelope.headers(content_type=message.CONTENT_TYPE)
        headers.update(message.headers)
        inject(headers)
        await self.store(message.subject, message.encode(), headers)

    async def store(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Store a body as it is, with bounded tries. Raises as `publish` does."""
        for pause in (*PAUSES, None):
            try:
                await self._jetstream.publish(
                    subject, body, timeout=PUBACK_TIMEOUT, stream=stream_of(subject), headers=headers
                )
            except nats.errors.MaxPayloadError as error:
                raise TooLargeError(f"{subject}: {len(body)} bytes") from error
            except (
                nats.js.errors.APIError,
                nats.js.errors.NoStreamResponseError,
                nats.errors.Error,
                TimeoutError,
            ) as error:
                if isinstance(error, nats.js.errors.APIError) and error.err_code in NO_ROOM:
                    raise StreamFullError(f"{subject}: {error.description}") from error
                if pause is None:
                    raise NotStoredError(f"{subject}: {error!r}") from error
                log.warning("publish is tried again", subject=subject, error=repr(error))
                await asyncio.sleep(pause)
            else:
                return
