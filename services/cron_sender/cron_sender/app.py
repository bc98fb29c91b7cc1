"""What the service is made of. Nothing here does I/O."""

from datetime import UTC, datetime

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus

from cron_sender.clock import Clock
from cron_sender.settings import Settings


def create_app(settings: Settings) -> web.Application:
    """Return the application."""
    bus = Bus(
        settings.nats_url,
        source="cron-sender",
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    clock = Clock(bus, catch_up=settings.cron_catch_up, now=lambda: datetime.now(UTC))
    return service.application(bus, clock)
