"""Payloads too large for a message: kept in JetStream's object store, with a reference in the event."""

import nats.errors
import nats.js.errors
from estafette_common.bus.bus import Bus
from estafette_common.bus.publishing import NotStoredError
from estafette_common.bus.subjects import STREAMS
from nats.js.api import ObjectStoreConfig
from nats.js.object_store import ObjectStore

BUCKET = "payloads"

LARGEST_MESSAGE = 900 * 1024
"""Bytes of a payload that still travels in its message; nats-server takes 1 MiB with headers unless told otherwise."""


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

    async def _bucket(self) -> ObjectStore:
        jetstream = self._bus.jetstream
        try:
            return await jetstream.object_store(BUCKET)
        except nats.js.errors.NotFoundError:
            lifetime = STREAMS["event"].max_age
            return await jetstream.create_object_store(BUCKET, config=ObjectStoreConfig(ttl=lifetime))
