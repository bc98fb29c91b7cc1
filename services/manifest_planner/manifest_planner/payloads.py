"""Payloads of webhooks too large for a message, in JetStream's object store."""

import nats.errors
import nats.js.errors
from estafette_common.bus.bus import Bus
from estafette_common.bus.delivery import TemporaryError
from estafette_common.bus.messages.events import GithubEvent


class Payloads:
    """Reads what webhooks sent."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def of(self, event: GithubEvent) -> bytes:
        """Return the payload of an event; empty when it lies elsewhere and is not kept any more. TemporaryError."""
        if not event.dataref:
            return event.payload
        bucket, _, name = event.dataref.partition("/")
        try:
            store = await self._bus.jetstream.object_store(bucket)
            return (await store.get(name)).data or b""
        except nats.js.errors.NotFoundError:
            return b""
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise TemporaryError(f"payload {event.dataref}: {error!r}") from error
