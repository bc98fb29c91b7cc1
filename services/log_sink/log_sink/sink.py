"""Log chunks in, rows out: whatever waits is stored in one transaction, and all who waited return after it."""

import asyncio

from estafette_common.bus.messages.logs import SealedLogChunk
from estafette_common.bus.messages.message import Cause
from estafette_common.service import Background

from log_sink.chunks import Chunks

MOST_AT_ONCE = 64
"""Chunks in one transaction."""


class Sink(Background):
    """A part of the service: groups chunks that arrive together. The bus acknowledges each after its commit."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._waiting: asyncio.Queue[tuple[SealedLogChunk, asyncio.Future[None]]] = asyncio.Queue()

    async def on_chunk(self, chunk: SealedLogChunk, _: Cause) -> None:
        """Store a chunk; returns when it is stored."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((chunk, stored))
        await stored

    async def _run(self) -> None:
        while True:
            group = [await self._waiting.get()]
            while not self._waiting.empty() and len(group) < MOST_AT_ONCE:
                group.append(self._waiting.get_nowait())
            try:
                await self._chunks.add([chunk for chunk, _ in group])
            except Exception:  # noqa: BLE001  one of them may be what cannot be stored
                for chunk, stored in group:
                    await self._store_alone(chunk, stored)
            else:
                for _, stored in group:
                    if not stored.done():
                        stored.set_result(None)

    async def _store_alone(self, chunk: SealedLogChunk, stored: asyncio.Future[None]) -> None:
        """Store a chunk of a group that could not be stored; its handler hears of it, and tells the bus."""
        if stored.done():
            return
        try:
            await self._chunks.add([chunk])
        except Exception as error:  # noqa: BLE001  as above
            if not stored.done():
                stored.set_exception(error)
        else:
            if not stored.done():
                stored.set_result(None)
