"""The live log of a build as server-sent events: what is stored, then what comes, each line once and in order."""

import asyncio

import msgspec
from aiohttp import web
from estafette_common.bus.messages.logs import End, LogChunk

from api.errors import UnknownError
from api.live import LaggingError, LiveLogs, Viewer
from api.logs import Logs, Position
from api.pipelines import Pipelines
from api.steps import tail_line

PING_EVERY = 5.0
"""Seconds, as in the reference."""

LOOK_EVERY = 1.0
"""Seconds of silence after which it is looked whether there is anything to wait for."""

ENDED_LOOK_EVERY = 0.1
"""The same once the log has ended: the build follows at once."""

SILENT_AFTER = 3.0
"""Seconds of silence after which the log of a build that ended is given up, should it have no end."""

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}

_JSON = msgspec.json.Encoder()


class Streams:
    """Answers viewers of live logs."""

    def __init__(self, pipelines: Pipelines, logs: Logs, live: LiveLogs) -> None:
        self._pipelines = pipelines
        self._logs = logs
        self._live = live

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """Stream the log from `Last-Event-ID` on until the build has ended and all of its log is told."""
        where = request.match_info
        build = await self._pipelines.build(where["source"], where["owner"], where["name"], where["id"])
        if build is None:
            raise UnknownError(f"there is no build {where['id']} of this pipeline")
        response = web.StreamResponse(headers=HEADERS)
        response.enable_compression(web.ContentCoding.identity)
        await response.prepare(request)
        telling = _Telling(response, Position.parse(request.headers.get("Last-Event-ID", "")))
        try:
            await self._tell(build["id"], telling)
        except (LaggingError, ConnectionResetError):
            return response  # the viewer comes again with the id of what it saw last
        return response

    async def _tell(self, build_id: str, telling: "_Telling") -> None:
        async for chunk in self._logs.after(build_id, telling.position):
            await telling.tell(chunk)
        if not (telling.ended and await self._pipelines.is_final(build_id)):
            async with self._live.watching(build_id) as viewer:
                await self._follow(build_id, viewer, telling)
        await telling.close()

    async def _follow(self, build_id: str, viewer: Viewer, telling: "_Telling") -> None:
        """Tell what comes until the build has ended and either its log has too, or nothing comes any more."""
        clock = asyncio.get_running_loop().time
        heard = pinged = clock()
        while True:
            chunk = await viewer.next(ENDED_LOOK_EVERY if telling.ended else LOOK_EVERY)
            if chunk is not None:
                await telling.tell(chunk)
                heard = clock()
                continue
            if clock() - pinged > PING_EVERY:
                await telling.ping()
                pinged = clock()
            if (telling.ended or clock() - heard > SILENT_AFTER) and await self._pipelines.is_final(build_id):
                return


class _Telling:
    """One answer: writes what comes after its position, and moves it."""

    def __init__(self, response: web.StreamResponse, position: Position) -> None:
        self._response = response
        self.position = position
        self.ended = False
        """Whether the last entry was an end."""

    async def tell(self, chunk: LogChunk) -> None:
        """Write the entries of a chunk that were not written yet."""
        events = []
        for number, entry in enumerate(chunk.entries, start=chunk.first):
            position = Position.of(chunk.attempt, number)
            if position <= self.position:
                continue
            self.position = position
            if isinstance(entry, End):
                self.ended = True
            else:
                events.append(
                    b"event: log\nid: %s\ndata: %s\n\n" % (str(position).encode(), _JSON.encode(tail_line(entry)))
                )
                self.ended = False
        if events:
            await self._response.write(b"".join(events))

    async def ping(self) -> None:
        """Write a sign of life."""
        await self._response.write(b"event: ping\ndata: true\n\n")

    async def close(self) -> None:
        """Write that nothing follows."""
        await self._response.write(b"event: close\ndata: true\n\n")
        await self._response.write_eof()
