"""Payloads of webhooks too large for a message: kept in JetStream's object store, with a reference in the event."""

import nats.errors
import nats.js.errors
from nats.js.api import ObjectStoreConfig
from nats.js.object_store import ObjectStore

from estafette_common.bus.bus import Bus
from estafette_common.bus.delivery import TemporaryError
from estafette_common.bus.messages.events import GithubEvent
from estafette_common.bus.publishing import NotStoredError
from estafette_common.bus.subjects import STREAMS

BUCKET = "payloads"


class Payloads:
    """Keeps large payloads as long as the events that refer to them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def keep(self, name: str, payload: bytes) -> str:
        """Store the payload and return its reference, `payloads/<name>`. Storing it again replaces it by itself.

        Raises NotStoredError.
        """
        try:
            bucket = await self._bucket()
            await bucket.put(name, payload)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise NotStoredError(f"payload {name}: {error!r}") from error
        return f"{BUCKET}/{name}"

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

    async def _bucket(self) -> ObjectStore:
        jetstream = self._bus.jetstream
        try:
            return await jetstream.object_store(BUCKET)
        except nats.js.errors.NotFoundError:
            events = STREAMS["event"]
            copies = (await jetstream.stream_info(events.name)).config.num_replicas
            config = ObjectStoreConfig(ttl=events.max_age, replicas=copies or 1)
            return await jetstream.create_object_store(BUCKET, config=config)
