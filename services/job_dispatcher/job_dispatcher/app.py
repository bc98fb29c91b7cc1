"""What the service is made of. Nothing here does I/O."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.jobs import JobCancel, JobRequested
from estafette_common.bus.topology import Consumer
from estafette_common.jobs.runtimes.settings import create_runtime
from estafette_common.manifest.secrets import parse_keys

from job_dispatcher.dispatcher import Dispatcher
from job_dispatcher.ending import Ender
from job_dispatcher.following import Following
from job_dispatcher.history import History
from job_dispatcher.minting import Mint
from job_dispatcher.settings import Settings
from job_dispatcher.starting import Starter

PATIENCE = (0.2, 1.0, *(5.0 for _ in range(24 * 60 * 12)))
"""Seconds between tries: a runtime may be away for a day and nothing is lost."""

REQUESTS = Consumer(durable="dispatcher-job-requested", message=JobRequested, concurrency=8, backoff=PATIENCE)


CANCELS = Consumer(durable="dispatcher-job-cancel", message=JobCancel, concurrency=4, backoff=PATIENCE)


def create_app(settings: Settings) -> web.Application:
    """Return the application."""
    bus = Bus(
        settings.nats_url,
        source="job-dispatcher",
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    secret_key = parse_keys(settings.secret_key.get_secret_value())
    runtime, history = create_runtime(settings), History(bus)
    mint = Mint(settings.nats_jobs_seed_file)
    starter = Starter(runtime, secret_key=secret_key, mint=mint)
    dispatcher = Dispatcher(runtime, starter, history, bus)
    following = Following(runtime, starter, history, bus, most_attempts=settings.most_attempts)
    ender = Ender(runtime, history, bus, grace=settings.cancel_grace)

    bus.consume(REQUESTS, dispatcher.on_requested)
    bus.consume(CANCELS, ender.on_cancel)
    return service.application(dispatcher, bus, following)
