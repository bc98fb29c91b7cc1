"""Logs while they are written: one consumer for each watched job, whatever the number of its viewers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import nats.errors
import structlog
from aiohttp import web
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.subjects import LOG, fill, stream_of
from estafette_common.jobs.lifecycle import Kind
from estafette_common.tasks import end
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

log = structlog.get_logger()

HEARTBEAT = 1.0
"""Seconds between signs of an idle consumer; a restarted server is noticed after three."""

FOLLOW_AGAIN_AFTER = 0.5
"""Seconds until a job is followed again that could not be."""


class ReleasedError(Exception):
    """The service stops; the viewer shall come again and be served by another replica."""


class _Watched:
    """A job that somebody watches: what its stream held and what came since, still compressed."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.caught_up = False
        self.released = False
        self.viewers = 0
        self.following: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def tell(self) -> None:
        """Wake everybody who waits for news."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Wait until something happens."""
        await self._news.wait()


class Viewer:
    """The place of one viewer in what came."""

    def __init__(self, watched: _Watched) -> None:
        self._watched = watched
        self._next = 0

    @property
    def caught_up(self) -> bool:
        """Whether everything was taken that the stream held."""
        return self._watched.caught_up and self._next == len(self._watched.seen)

    async def next(self, within: float) -> LogChunk | None:
        """Return the next chunk, or nothing when none comes within so many seconds. Raises ReleasedError."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._next == len(self._watched.seen) and not self._watched.released:
                    await self._watched.news()
        if self._watched.released:
            raise ReleasedError
        if self._next == len(self._watched.seen):
            return None
        body = self._watched.seen[self._next]
        self._next += 1
        try:
            return LogChunk.decode(body)
        except ValueError as error:
            log.warning("log chunk not understood", error=str(error))
            return None


class LiveLogs:
    """A part of the service: follows jobs for as long as somebody watches."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._watched: dict[str, _Watched] = {}

    async def start(self) -> None:
        """Nothing is followed before somebody watches."""

    async def stop(self) -> None:
        """Stop following."""
        for watched in self._watched.values():
            if watched.following is not None:
                watched.following.cancel()

    async def ready(self) -> bool:
        """Return true: NATS away is the bus's word."""
        return True

    async def release(self, _: web.Application) -> None:
        """Let all viewers go."""
        for watched in self._watched.values():
            watched.released = True
            watched.tell()

    @asynccontextmanager
    async def watching(self, job_id: str) -> AsyncIterator[Viewer]:
        """Watch a job: all chunks that its stream still holds, then each that comes."""
        watched = self._watched.setdefault(job_id, _Watched())
        watched.viewers += 1
        if watched.following is None:
            watched.following = asyncio.create_task(self._follow(job_id, watched))
        try:
            yield Viewer(watched)
        finally:
            watched.viewers -= 1
            if not watched.viewers and self._watched.get(job_id) is watched:
                del self._watched[job_id]
                await end(watched.following)

    async def _follow(self, job_id: str, watched: _Watched) -> None:
        while True:
            try:
                await self._take(fill(LOG, kind=Kind.BUILD, job_id=job_id), watched)
            except (nats.errors.Error, OSError) as error:
                log.warning("cannot follow a log now", job=job_id, error=repr(error))
                await asyncio.sleep(FOLLOW_AGAIN_AFTER)

    async def _take(self, subject: str, watched: _Watched) -> None:
        async def take(message: Msg) -> None:
            watched.seen.append(message.data)
            watched.caught_up = watched.caught_up or message.metadata.num_pending == 0
            watched.tell()

        subscription = await self._bus.jetstream.subscribe(
            subject,
            stream=stream_of(subject),
            ordered_consumer=True,
            cb=take,
            idle_heartbeat=HEARTBEAT,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL),
        )
        try:
            found = await subscription.consumer_info()
            if not found.num_pending and (found.delivered is None or not found.delivered.consumer_seq):
                watched.caught_up = True
            await asyncio.Event().wait()
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
