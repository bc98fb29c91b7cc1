"""A service as a process: its parts are started in order, probed, measured and drained."""

import asyncio
import gc
import logging
import signal
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from time import perf_counter
from typing import Protocol

import structlog
import uvloop
from aiohttp import web
from aiohttp.hdrs import METH_ALL
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from estafette_common import telemetry
from estafette_common.metrics import REQUEST_SECONDS, REQUESTS
from estafette_common.settings import ServiceSettings
from estafette_common.tasks import end

log = structlog.get_logger()

NOT_READY_AFTER = 3.0
"""Seconds a part may take to say whether it is ready."""


class Part(Protocol):
    """Something a service is made of that has a beginning and an end."""

    async def start(self) -> None:
        """Begin; returns when it is usable."""
        ...

    async def stop(self) -> None:
        """End, finishing what is in hand."""
        ...

    async def ready(self) -> bool:
        """Return whether it can do its work now."""
        ...


class Background(ABC):
    """A part that does something all the time: its `_run` goes on from `start` to `stop`."""

    @abstractmethod
    async def _run(self) -> None: ...

    async def start(self) -> None:
        """Begin."""
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End, wherever it is."""
        if hasattr(self, "_running"):
            await end(self._running)
            if not self._running.cancelled():
                self._running.result()

    async def ready(self) -> bool:
        """Return whether it goes on."""
        return not self._running.done()


def application(*parts: Part, body_limit: int = 1024 * 1024) -> web.Application:
    """Return an HTTP application with `/liveness`, `/readiness` and `/metrics` that runs the parts.

    Parts are started in the given order while HTTP already answers (503 on `/readiness` until all are up) and
    stopped in reverse order. `body_limit` is in bytes.
    """
    app = web.Application(client_max_size=body_limit, handler_args={"access_log": None})
    probes = _Probes(parts)
    app.add_routes(
        [
            web.get("/liveness", probes.liveness),
            web.get("/readiness", probes.readiness),
            web.get("/metrics", _metrics),
        ]
    )
    app.cleanup_ctx.append(probes.run)
    return app


@web.middleware
async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count and time requests by their route, never by their path."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "none"
    method = request.method if request.method in METH_ALL else "other"
    began, status = perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as answer:
        status = answer.status
        raise
    finally:
        REQUESTS.labels(method, route, str(status)).inc()
        REQUEST_SECONDS.labels(method, route).observe(perf_counter() - began)
    return response


def run(app: web.Application, *, name: str, settings: ServiceSettings) -> None:
    """Run until SIGTERM or SIGINT, then drain and return."""
    telemetry.configure(service=name, log_level=settings.log_level, otlp_endpoint=settings.otlp_endpoint)
    logging.getLogger("aiohttp.server").addFilter(_is_about_http)
    log.info("starting", host=settings.host, port=settings.port)
    web.run_app(
        app,
        host=settings.host,
        port=settings.port,
        shutdown_timeout=settings.shutdown_grace,
        access_log=None,
        print=lambda *_: None,
        loop=uvloop.new_event_loop(),
    )
    log.info("stopped")


def _is_about_http(record: logging.LogRecord) -> bool:
    """Return whether to log what aiohttp says. What is no HTTP is refused, and anybody can send thousands of it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | web.RequestPayloadError))


class _Probes:
    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._started = False

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        starting = asyncio.create_task(self._start())
        starting.add_done_callback(_end_process_when_failed)
        yield
        self._started = False
        starting.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await starting
        for part in reversed(self._parts):
            try:
                await part.stop()
            except Exception:
                log.exception("stopping failed", part=type(part).__name__)

    async def _start(self) -> None:
        for part in self._parts:
            await part.start()
        gc.collect()
        gc.freeze()  # what was made to start is never garbage; scanning it again and again costs a tenth of the time
        self._started = True
        log.info("ready")

    async def liveness(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readiness(self, _: web.Request) -> web.Response:
        waiting = [type(part).__name__ for part in self._parts if not await self._is_ready(part)]
        if not self._started or waiting:
            return web.Response(status=503, text=f"not ready: {', '.join(waiting) or 'starting'}\n")
        return web.Response(text="ready\n")

    async def _is_ready(self, part: Part) -> bool:
        if not self._started:
            return False
        try:
            async with asyncio.timeout(NOT_READY_AFTER):
                return await part.ready()
        except Exception:  # noqa: BLE001  whatever it is, it is not ready
            return False


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _end_process_when_failed(starting: asyncio.Task[None]) -> None:
    if not starting.cancelled() and (error := starting.exception()):
        log.critical("cannot start", exc_info=error)
        signal.raise_signal(signal.SIGTERM)
