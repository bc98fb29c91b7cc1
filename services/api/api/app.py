"""What the service is made of. Nothing here does I/O."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus
from estafette_common.database.pool import Database

from api.decisions import Decisions
from api.errors import answer_errors
from api.live import LiveLogs
from api.logs import Logs
from api.moved import redirect
from api.overview import Overview
from api.pipelines import Pipelines
from api.routes import Routes
from api.settings import Settings
from api.streaming import Streams
from api.tracing import Tracer
from api.why import Why

PIPELINE = "/api/pipelines/{source}/{owner}/{name}"
BUILD = PIPELINE + "/builds/{id}"


def create_app(settings: Settings) -> web.Application:
    """Return the application: every route and who answers it."""
    database = Database(settings.database_url, connections=settings.database_connections)
    bus = Bus(
        settings.nats_url,
        source="api",
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    pipelines, logs = Pipelines(database), Logs(database)
    live = LiveLogs(bus)
    routes, streams = Routes(pipelines, logs), Streams(pipelines, logs, live, patience=settings.viewer_patience)
    decisions = Decisions(database)
    why = Why(decisions, Tracer(decisions, bus))

    app = service.application(database, bus, live)
    app.middlewares.extend([service.measure, answer_errors, redirect(database)])
    app.on_shutdown.append(live.release)
    app.add_routes(
        [
            web.get("/api/status", Overview(database).show),
            web.get("/api/pipelines", routes.pipelines),
            web.get(PIPELINE, routes.pipeline),
            web.get(PIPELINE + "/decisions", why.of_revision),
            web.get("/api/deliveries/{id}", why.of_delivery),
            web.get(PIPELINE + "/builds", routes.builds),
            web.get(BUILD, routes.build),
            web.get(PIPELINE + "/releases", routes.releases),
            web.get(PIPELINE + "/releases/{id}", routes.release),
            web.get(PIPELINE + "/bots", routes.bots),
            web.get(PIPELINE + "/bots/{id}", routes.bot),
            web.get(BUILD + "/logs", routes.build_log),
            web.get(BUILD + "/alllogs", routes.build_logs),
            web.get(BUILD + "/logs/tail", streams.tail),
            web.get(BUILD + "/logs.stream", streams.tail),
        ]
    )
    return app
