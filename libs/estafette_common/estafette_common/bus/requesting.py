"""Asking over the bus: a command is stored, and its answer comes to an inbox of the one who asks."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from estafette_common.bus.messages.commands import Answer, Command
from estafette_common.bus.messages.message import Envelope
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.telemetry import traceparent


class NoAnswerError(Exception):
    """Nobody answered in time. The command is stored and will be done: ask again, with the same id, to hear of it."""


class Requester:
    """Sends commands on a connected client and waits for their answers."""

    def __init__(self, client: Client, *, source: str) -> None:
        self._client = client
        self._source = source
        self._publisher: JetStreamPublisher | None = None

    @property
    def jetstream(self) -> JetStreamContext:
        """The JetStream context of its client."""
        return self._client.jetstream()

    async def ask(self, command: Command, *, id: str, within: float) -> Answer:
        """Return the answer to a command; the same id asks for the same thing, however often.

        Raises NoAnswerError when it does not come `within` seconds, or NotStoredError when the command was not stored.
        """
        inbox = self._client.new_inbox()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        async def take(message: Msg) -> None:
            if not answer.done():
                answer.set_result(Answer.model_validate_json(message.data))

        subscription = await self._client.subscribe(inbox, cb=take)
        try:
            await self._send(command.model_copy(update={"reply_to": inbox}), id)
            async with asyncio.timeout(within):
                return await answer
        except TimeoutError:
            raise NoAnswerError(f"no answer within {within:g} s") from None
        finally:
            with suppress(nats.errors.Error):  # a connection that is closed has no subscriptions
                await subscription.unsubscribe()

    async def _send(self, command: Command, id: str) -> None:
        """Store a command without a `Nats-Msg-Id`: the stream would drop one that is asked again, and its answer."""
        if self._publisher is None:
            self._publisher = JetStreamPublisher(self._client, source=self._source)
            await self._publisher.start()
        envelope = Envelope(id=id, type=command.TYPE, source=self._source, time=datetime.now(UTC))
        headers = envelope.headers(content_type=command.CONTENT_TYPE)
        del headers["Nats-Msg-Id"]
        if trace := traceparent():
            headers["traceparent"] = trace
        await self._publisher.store(command.subject, command.encode(), headers)
