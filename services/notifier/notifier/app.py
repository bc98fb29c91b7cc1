"""What the service is made of. Nothing here does I/O."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import PipelineChanged
from estafette_common.bus.topology import Consumer
from estafette_common.database.pool import Database
from estafette_common.github.client import GithubClient

from notifier.ledger import Ledger
from notifier.notifier import Notifier
from notifier.settings import Settings

PATIENCE = (0.2, 1.0, 5.0, *(15.0 for _ in range(24 * 60 * 4)))
"""Seconds between tries: a forge may be away for a day."""

CHANGES = Consumer(durable="notifier-pipeline-changed", message=PipelineChanged, concurrency=4, backoff=PATIENCE)


def create_app(settings: Settings) -> web.Application:
    """Return the application."""
    database = Database(settings.database_url, connections=settings.database_connections)
    bus = Bus(
        settings.nats_url,
        source="notifier",
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    github = GithubClient(settings)
    notifier = Notifier(
        Ledger(database), github if settings.is_set else None, server_url=settings.server_url.rstrip("/")
    )
    bus.consume(CHANGES, notifier.on_changed)
    return service.application(database, github, bus)
