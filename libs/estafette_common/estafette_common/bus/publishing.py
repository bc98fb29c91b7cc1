"""The one way to publish: with an id and a trace, stored by JetStream, or an error.

The acknowledgements come back through one inbox that all publishes of a process share: half the cost per message
of a request each, see `bench/`.

A stream drops a message with an id that it knows, whatever the subjects. Jobs write into streams of others: so the ids
that they send cannot be guessed (`id_key`), and the services look whether what is known is their message.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import NamedTuple, Protocol

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header
from nats.js.errors import NotFoundError

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


class GroupPublisher(Protocol):
    """What a sender of thousands a second needs: messages that belong together are waited for together."""

    async def publish_all(self, messages: Mapping[str, Message | Encoded | LogChunk]) -> None:
        """Return when all messages, by their ids, are stored; raises as `publish` when one is not."""
        ...


class _Refusal(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Refusal | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class JetStreamPublisher:
    """Publishes to JetStream and waits until the message is stored. `start` it on a connected client.

    With an `id_key`, a secret of up to 64 bytes, nobody else can send what a stream takes for a repeat of ours.
    Without one, the client must be allowed to read the streams.
    """

    def __init__(self, client: Client, *, source: str, id_key: bytes = b"") -> None:
        self._client = client
        self._source = source
        self._id_key = id_key
        self._tokens = count(1)
        self._waiting: dict[str, asyncio.Future[_Answer | None]] = {}

    async def start(self) -> None:
        """Begin to listen for acknowledgements."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._take_answer)

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        """Return when the message is stored; see `Publisher`."""
        prepared = self._prepare(message, id, now=datetime.now(UTC), trace=traceparent())
        if after is not None:
            prepared.headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE] = str(after)
        await self._store([prepared])

    async def publish_all(self, messages: Mapping[str, Message | Encoded | LogChunk]) -> None:
        """Return when all messages are stored; see `Publisher`."""
        now, trace = datetime.now(UTC), traceparent()
        await self._store([self._prepare(message, key, now=now, trace=trace) for key, message in messages.items()])

    async def store(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Store a body as it is, with bounded tries. Raises as `publish` does."""
        await self._store([_Prepared(subject, body, headers)])

    def _prepare(self, message: Message | Encoded | LogChunk, id: str, *, now: datetime, trace: str) -> "_Prepared":
        envelope = Envelope(id=id, type=message.TYPE, source=self._source, time=now)
        headers = envelope.headers(content_type=message.CONTENT_TYPE)
        headers.update(message.headers)
        if self._id_key:
            headers[Header.MSG_ID] = hashlib.blake2b(id.encode(), key=self._id_key, digest_size=16).hexdigest()
        if trace:
            headers["traceparent"] = trace
        return _Prepared(message.subject, message.encode(), headers)

    async def _store(self, messages: Sequence["_Prepared"]) -> None:
        """Store messages; all of them again when one fails, for their ids keep a repeat harmless."""
        for pause in PAUSES:
            try:
                await self._try(messages)
            except StreamFullError:
                raise
            except NotStoredError as error:
                log.warning("publish is tried again", error=str(error))
                await asyncio.sleep(pause)
            else:
                return
        await self._try(messages)

    async def _try(self, messages: Sequence["_Prepared"]) -> None:
        tokens: list[str] = []
        dropped: list[_Prepared] = []
        at = messages[0]
        expiry = asyncio.get_running_loop().call_later(PUBACK_TIMEOUT, self._give_up, tokens)
        try:
            for at in messages:
                tokens += [await self._send(at)]
            for at, token in zip(messages, tokens, strict=True):
                if (answer := await self._waiting[token]) is None:
                    raise NotStoredError(f"{at.subject}: not confirmed within {PUBACK_TIMEOUT} s")
                _check(at.subject, answer)
                if answer.duplicate and not self._id_key and not await self._is_known(at, answer):
                    dropped += [at]
        except nats.errors.MaxPayloadError as error:
            raise TooLargeError(f"{at.subject}: {len(at.body)} bytes") from error
        except (nats.errors.Error, TimeoutError) as error:
            raise NotStoredError(f"{at.subject}: {error!r}") from error
        finally:
            expiry.cancel()
            for token in tokens:
                self._waiting.pop(token).cancel()
        if dropped:
            log.error("message ids were taken by other subjects", subjects=[each.subject for each in dropped])
            await self._try([each.without_id() for each in dropped])

    def _give_up(self, tokens: Sequence[str]) -> None:
        """End the waiting for what is not confirmed yet; a timer costs a fifth of what asyncio's time-out does."""
        for token in tokens:
            if not self._waiting[token].done():
                self._waiting[token].set_result(None)

    async def _is_known(self, message: "_Prepared", answer: _Answer) -> bool:
        """Return whether what the stream took a message for a repeat of is that message."""
        try:
            known = await self._client.jetstream().get_msg(answer.stream, answer.seq)
        except NotFoundError:  # handled already
            return True
        return known.subject == message.subject

    async def _send(self, message: "_Prepared") -> str:
        """Send a message and return the token of its acknowledgement."""
        token = str(next(self._tokens))
        self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            await self._client.publish(message.subject, message.body, f"{self._inbox}.{token}", message.headers)
        except BaseException:
            del self._waiting[token]
            raise
        return token

    async def _take_answer(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is None or waiting.done():
            return
        if message.data:
            waiting.set_result(_ANSWER.decode(message.data))
        else:  # the server says with a status that nobody stores the subject
            status = (message.headers or {}).get("Status", "")
            waiting.set_exception(NotStoredError(f"{status} no stream stores it"))


class _Prepared(NamedTuple):
    """A message as it travels."""

    subject: str
    body: bytes
    headers: dict[str, str]

    def without_id(self) -> "_Prepared":
        """Return the message as one that is no repeat of any."""
        headers = {name: value for name, value in self.headers.items() if name != Header.MSG_ID}
        return self._replace(headers=headers)


def _check(subject: str, answer: _Answer) -> None:
    """Return if the answer says that the right stream stored the message."""
    if answer.error is None:
        if answer.stream != stream_of(subject):
            raise NotStoredError(f"{subject}: stored by the stream {answer.stream}, which is not ours")
        return
    description = f"{subject}: {answer.error.description} ({answer.error.err_code})"
    if answer.error.err_code == NOT_NEXT:
        raise NotNextError(description)
    if answer.error.err_code in NO_ROOM:
        raise StreamFullError(description)
    raise NotStoredError(description)
