"""What the service is made of. Nothing here does I/O."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.logs import SealedLogChunk
from estafette_common.bus.topology import Consumer
from estafette_common.database.pool import Database

from log_sink.chunks import Chunks
from log_sink.compacting import Compactor
from log_sink.settings import Settings
from log_sink.sink import Sink

PATIENCE = (0.2, 1.0, *(5.0 for _ in range(24 * 60 * 12)))
"""Seconds between tries: the database may be away for a day, and no line is lost."""

CHUNKS = Consumer(durable="log-sink", message=SealedLogChunk, concurrency=16, backoff=PATIENCE)


def create_app(settings: Settings) -> web.Application:
    """Return the application."""
    database = Database(settings.database_url, connections=settings.database_connections)
    bus = Bus(
        settings.nats_url,
        source="log-sink",
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    chunks = Chunks(database)
    sink = Sink(chunks)
    compactor = Compactor(chunks, interval=settings.compact_interval)

    bus.consume(CHUNKS, sink.on_chunk)
    return service.application(database, compactor, sink, bus)
