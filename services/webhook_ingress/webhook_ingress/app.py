"""What the service is made of. Nothing here does I/O."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus

from webhook_ingress.github import GithubHooks
from webhook_ingress.payloads import Payloads
from webhook_ingress.settings import Settings


def create_app(settings: Settings) -> web.Application:
    """Return the application: one route per forge, beside the probes."""
    bus = Bus(
        settings.nats_url,
        source="webhook-ingress",
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    github = GithubHooks(bus, Payloads(bus), settings.github_webhook_secret.get_secret_value())

    app = service.application(bus, body_limit=settings.body_limit)
    app.add_routes([web.post("/api/integrations/github/events", github.receive)])
    return app
