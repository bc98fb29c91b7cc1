"""Logs while they are written: one consumer for each watched job, and a queue for each viewer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import nats.errors
import structlog
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.subjects import LOG, fill, stream_of
from estafette_common.jobs.lifecycle import Kind
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

log = structlog.get_logger()

HEARTBEAT = 1.0
"""Seconds between signs of an idle consumer; a restarted server is noticed after three."""


class LaggingError(Exception):
    """A viewer is too slow; it shall come again and go on where it was."""


class Viewer:
    """What one viewer has not yet seen."""

    def __init__(self, limit: int) -> None:
        self._chunks: asyncio.Queue[LogChunk] = asyncio.Queue(limit)
        self._lagging = False

    def offer(self, chunk: LogChunk) -> None:
        """Take a chunk, or mark the viewer as too slow."""
        try:
            self._chunks.put_nowait(chunk)
        except asyncio.QueueFull:
            self._lagging = True

    async def next(self, within: float) -> LogChunk | None:
        """Return the next chunk, or nothing when none comes in time. Raises LaggingError."""
        if self._lagging:
            raise LaggingError
        try:
            async with asyncio.timeout(within):
                return await self._chunks.get()
        except TimeoutError:
            return None


class _Watched:
    """A job that somebody watches."""

    def __init__(self) -> None:
        self.seen: list[LogChunk] = []
        self.viewers: set[Viewer] = set()
        self.following: asyncio.Task[None] | None = None


class LiveLogs:
    """A part of the service: follows jobs for as long as somebody watches."""

    def __init__(self, bus: Bus, *, queue: int) -> None:
        self._bus = bus
        self._queue = queue
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

    @asynccontextmanager
    async def watching(self, job_id: str) -> AsyncIterator[Viewer]:
        """Watch a job: all chunks that its stream still holds, then each that comes."""
        watched = self._watched.setdefault(job_id, _Watched())
        viewer = Viewer(self._queue)
        for chunk in watched.seen:
            viewer.offer(chunk)
        watched.viewers.add(viewer)
        if watched.following is None:
            watched.following = asyncio.create_task(self._follow(job_id, watched))
        try:
            yield viewer
        finally:
            watched.viewers.discard(viewer)
            if not watched.viewers and self._watched.get(job_id) is watched:
                del self._watched[job_id]
                watched.following.cancel()
                with suppress(asyncio.CancelledError):
                    await watched.following

    async def _follow(self, job_id: str, watched: _Watched) -> None:
        async def take(message: Msg) -> None:
            try:
                chunk = LogChunk.decode(message.data)
            except ValueError as error:
                log.warning("log chunk not understood", job=job_id, error=str(error))
                return
            watched.seen.append(chunk)
            for viewer in watched.viewers:
                viewer.offer(chunk)

        subject = fill(LOG, kind=Kind.BUILD, job_id=job_id)
        subscription = await self._bus.jetstream.subscribe(
            subject,
            stream=stream_of(subject),
            ordered_consumer=True,
            cb=take,
            idle_heartbeat=HEARTBEAT,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL),
        )
        try:
            await asyncio.Event().wait()
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
