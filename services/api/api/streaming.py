"""The live log of a build as server-sent events: what is stored, then what comes, each line once and in order."""

import asyncio
from collections.abc import Iterable

import msgspec
import structlog
from aiohttp import web
from estafette_common.bus.messages.logs import End, Entry
from estafette_common.database.pool import AWAY

from api.errors import UnknownError
from api.live import LiveLogs, ReleasedError, Viewer
from api.logs import Logs
from api.ordering import Ordering, Position
from api.pipelines import Pipelines
from api.steps import tail_line

log = structlog.get_logger()

PING_EVERY = 5.0
"""Seconds, as in the reference."""

LOOK_EVERY = 1.0
"""Seconds of silence after which it is looked whether there is anything to wait for."""

ENDED_LOOK_EVERY = 0.1
"""The same once the log has ended: the build follows at once."""

SILENT_AFTER = 3.0
"""Seconds of silence after which the log of a build that ended is given up, should it have no end."""

MISSING_AFTER = 1.0
"""Seconds of silence after which a chunk is missing that neither the stream nor the database gave."""

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}

_JSON = msgspec.json.Encoder()


class Streams:
    """Answers viewers of live logs. A viewer has `patience` seconds to take what is sent, then it is cut off."""

    def __init__(self, pipelines: Pipelines, logs: Logs, live: LiveLogs, *, patience: float) -> None:
        self._pipelines = pipelines
        self._logs = logs
        self._live = live
        self._patience = patience

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """Stream the log from `Last-Event-ID` on until the build has ended and all of its log is told."""
        where = request.match_info
        build = await self._pipelines.build(where["source"], where["owner"], where["name"], where["id"])
        if build is None:
            raise UnknownError(f"there is no build {where['id']} of this pipeline")
        response = web.StreamResponse(headers=HEADERS)
        response.enable_compression(web.ContentCoding.identity)
        await response.prepare(request)
        telling = _Telling(response, Position.parse(request.headers.get("Last-Event-ID", "")), patience=self._patience)
        try:
            await self._tell(build["id"], telling)
        except (ReleasedError, *AWAY) as error:
            log.info("viewer cut off", build=build["id"], reason=repr(error))
            if request.transport is not None:
                request.transport.abort()  # the viewer comes again with the id of what it saw last
        return response

    async def _tell(self, build_id: str, telling: "_Telling") -> None:
        await self._tell_stored(build_id, telling)
        if not (telling.log.ended and await self._is_final(build_id)):
            async with self._live.watching(build_id) as viewer:
                await self._follow(build_id, viewer, telling)
        await telling.close()

    async def _tell_stored(self, build_id: str, telling: "_Telling") -> None:
        async for chunk in self._logs.after(build_id, telling.log.position):
            telling.log.add(chunk)
            await telling.tell(telling.log.follow())

    async def _follow(self, build_id: str, viewer: Viewer, telling: "_Telling") -> None:
        """Tell what comes until the build has ended and either its log has too, or nothing comes any more."""
        clock = asyncio.get_running_loop().time
        heard = pinged = clock()
        while True:
            chunk = await viewer.next(ENDED_LOOK_EVERY if telling.log.ended else LOOK_EVERY)
            if chunk is not None:
                telling.log.add(chunk)
                await telling.tell(telling.log.follow())
                heard = clock()
                continue
            if clock() - pinged > PING_EVERY:
                await telling.ping()
                pinged = clock()
            if not viewer.caught_up:  # NATS is away or slow: that nothing comes means nothing
                heard = clock()
            if telling.log.waits and viewer.caught_up and clock() - heard > MISSING_AFTER:
                await self._tell_without_missing(build_id, telling)
            if (telling.log.ended or clock() - heard > SILENT_AFTER) and await self._is_final(build_id):
                return

    async def _tell_without_missing(self, build_id: str, telling: "_Telling") -> None:
        try:
            await self._tell_stored(build_id, telling)
        except AWAY:
            return
        await telling.tell(telling.log.skip())

    async def _is_final(self, build_id: str) -> bool:
        """Return whether the build is known to have ended: without a database, it is not."""
        try:
            return await self._pipelines.is_final(build_id)
        except AWAY:
            return False


class _Telling:
    """One answer: writes entries, each of which has `patience` seconds to be taken."""

    def __init__(self, response: web.StreamResponse, position: Position, *, patience: float) -> None:
        self.log = Ordering(position)
        self._response = response
        self._patience = patience

    async def tell(self, entries: Iterable[tuple[Position, Entry]]) -> None:
        """Write entries, in one piece."""
        events = [
            b"event: log\nid: %s\ndata: %s\n\n" % (str(position).encode(), _JSON.encode(tail_line(entry)))
            for position, entry in entries
            if not isinstance(entry, End)
        ]
        if events:
            await self._write(b"".join(events))

    async def ping(self) -> None:
        """Write a sign of life."""
        await self._write(b"event: ping\ndata: true\n\n")

    async def close(self) -> None:
        """Write that nothing follows."""
        await self._write(b"event: close\ndata: true\n\n")
        await self._response.write_eof()

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(self._patience):
            await self._response.write(data)
