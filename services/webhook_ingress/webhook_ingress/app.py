"""What the service is made of. Nothing here does I/O."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import GithubEvent
from estafette_common.bus.payloads import Payloads
from estafette_common.bus.subjects import fill
from estafette_common.bus.topology import Consumer

from webhook_ingress.github import GithubHooks
from webhook_ingress.settings import Settings
from webhook_ingress.translating import Translator

GITHUB_PUSHES = Consumer(
    durable="ingress-github-push", message=GithubEvent, only=fill(GithubEvent.SUBJECT, kind="push")
)


def create_app(settings: Settings) -> web.Application:
    """Return the application: one route per forge, beside the probes; and who translates what came in."""
    bus = Bus(
        settings.nats_url,
        source="webhook-ingress",
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    payloads = Payloads(bus)
    github = GithubHooks(bus, payloads, settings.github_webhook_secret.get_secret_value())
    bus.consume(GITHUB_PUSHES, Translator(bus, payloads).on_github_push)

    app = service.application(bus, body_limit=settings.body_limit)
    app.add_routes([web.post("/api/integrations/github/events", github.receive)])
    return app
