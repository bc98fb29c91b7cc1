"""Compacts logs that ended, beside the taking of new chunks."""

import asyncio

import structlog
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.database.pool import AWAY
from estafette_common.service import Background

from log_sink.chunks import Chunks, Log
from log_sink.joining import can_be_joined, join

log = structlog.get_logger()


class Compactor(Background):
    """A part of the service: looks every `interval` seconds. The database is its memory; replicas do no harm."""

    def __init__(self, chunks: Chunks, *, interval: float) -> None:
        self._chunks = chunks
        self._interval = interval

    async def look(self) -> None:
        """Compact every log that ended and is whole."""
        after: Log | None = None
        while ended := await self._chunks.ended(after=after):
            for each in ended:
                await self.compact(each)
            after = ended[-1]

    async def compact(self, each: Log) -> None:
        """Compact a log, unless chunks are missing or somebody else was faster."""
        rows = await self._chunks.read(each)
        if not can_be_joined([(number, last_number) for number, last_number, _ in rows]):
            return
        try:
            joined = await asyncio.to_thread(_join, [body for _, _, body in rows])
        except ValueError as error:
            log.warning(
                "log cannot be read, and stays as it is", job=each.job_id, attempt=each.attempt, error=str(error)
            )
            return
        if await self._chunks.replace(each, joined, rows=len(rows)):
            log.info("log compacted", job=each.job_id, attempt=each.attempt, chunks=len(rows), rows=len(joined))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except AWAY as error:
                log.warning("cannot compact now", error=repr(error))


def _join(bodies: list[bytes]) -> list[tuple[int, LogChunk, bytes]]:
    return [(last, chunk, chunk.encode()) for last, chunk in join([LogChunk.decode(body) for body in bodies])]
