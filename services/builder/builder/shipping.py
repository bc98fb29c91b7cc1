"""Getting the log out: entries become numbered chunks, published in order, one at a time, until stored."""

import asyncio
import time
from datetime import UTC, datetime

import msgspec
import structlog
from estafette_common.bus.messages.logs import Change, End, Entry, Image, Line, LogChunk
from estafette_common.bus.publishing import NotStoredError, Publisher
from estafette_common.jobs.lifecycle import Outcome, StageStatus
from estafette_common.jobs.plan import Plan

from builder.backlog import Backlog, size_of
from builder.masking import Masker
from builder.places import Place

log = structlog.get_logger()

MOST_BYTES = 256 * 1024
"""Bytes of entries in a chunk before it is compressed."""

GATHER = 0.1
"""Seconds that entries are gathered after a chunk was sent; the first line of a stage is sent at once."""

MOST_WAITING = 32 * 1024 * 1024
"""Bytes that wait for NATS before reading from stages stops; nothing is dropped."""

LARGEST_MESSAGE = 1024 * 1024
"""Bytes that nats-server takes unless it is told otherwise, headers included."""

BESIDE = 4096
"""Bytes of a message beside its entries: headers, and the fields of the chunk."""

AGAIN_AFTER = 0.5
"""Seconds before a chunk that was not stored is sent again."""


def timestamp() -> str:
    """Return now as RFC 3339 with nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


class Shipper:
    """Takes entries of one attempt of a job, and publishes them, without secrets.

    `largest_message` is what NATS takes, in bytes.
    """

    def __init__(
        self,
        publisher: Publisher,
        plan: Plan,
        *,
        attempt: int,
        masker: Masker,
        largest_message: int = LARGEST_MESSAGE,
    ) -> None:
        self._publisher = publisher
        self._plan = plan
        self._attempt = attempt
        self._mask = masker
        self._largest_entry = min(largest_message, LARGEST_MESSAGE) * 250 // 256 - BESIDE
        """Bytes. What cannot be compressed grows by 1/256 at most (zstd.h, ZSTD_COMPRESSBOUND)."""
        self._backlog = Backlog(most_bytes=min(MOST_BYTES, self._largest_entry))
        self._numbers: dict[Place, int] = {}
        self._sent_entries = 0
        self._sent_chunks = 0
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False

    def line(self, place: Place, text: str, *, stream: str = "stdout") -> None:
        """Take a line; one that no message holds becomes several."""
        parts = [self._mask(text)]
        while parts:
            part = parts.pop()
            number = self._numbers.get(place, 0) + 1
            line = Line(number=number, time=timestamp(), text=part, stream=stream, **place._asdict())
            size = size_of(line)
            if size > self._largest_entry and len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            else:
                self._numbers[place] = number
                self._add(line, size, at_once=number == 1)

    def change(
        self,
        place: Place,
        status: StageStatus,
        *,
        image: Image | None = None,
        seconds: float = 0.0,
        exit_code: int = 0,
        auto_injected: bool = False,
    ) -> None:
        """Take a change of the status there."""
        change = Change(
            status=status,
            time=timestamp(),
            image=self._masked(image) if image else None,
            duration=int(seconds * 1e9),
            exit_code=exit_code,
            auto_injected=auto_injected,
            **place._asdict(),
        )
        self._add(change, size_of(change))

    def end(self, outcome: Outcome) -> None:
        """Take the end: nothing follows."""
        self._ended = True
        end = End(outcome=outcome)
        self._add(end, size_of(end))

    async def room(self) -> None:
        """Wait until more may be taken."""
        await self._room.wait()

    async def run(self) -> None:
        """Publish until the end is stored. NATS may go away and come back meanwhile."""
        last = 0.0
        while self._backlog or not self._ended:
            await self._some.wait()
            if (pause := last + GATHER - time.monotonic()) > 0 and not self._ended:
                await self._gather(pause)
            await self._send(self._take())
            last = time.monotonic()

    async def _gather(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._enough.wait()
        except TimeoutError:
            return

    def _masked(self, image: Image) -> Image:
        hidden = {name: self._mask(getattr(image, name)) for name in ("name", "tag", "error")}
        return msgspec.structs.replace(image, **hidden)

    def _add(self, entry: Entry, size: int, *, at_once: bool = False) -> None:
        self._backlog.add(entry, size)
        self._some.set()
        if at_once or self._ended or self._backlog.fills_a_chunk:
            self._enough.set()
        if self._backlog.memory > MOST_WAITING:
            self._room.clear()

    def _take(self) -> LogChunk:
        entries = self._backlog.take()
        self._sent_chunks += 1
        first, self._sent_entries = self._sent_entries + 1, self._sent_entries + len(entries)
        if not self._backlog:
            self._some.clear()
        if not self._backlog.fills_a_chunk:
            self._enough.clear()
        if self._backlog.memory <= MOST_WAITING:
            self._room.set()
        return LogChunk(
            kind=self._plan.kind,
            job_id=self._plan.job_id,
            attempt=self._attempt,
            number=self._sent_chunks,
            first=first,
            entries=entries,
        )

    async def _send(self, chunk: LogChunk) -> None:
        while True:
            try:
                return await self._publisher.publish(chunk, id=chunk.id)
            except NotStoredError as error:
                log.warning("log chunk waits for NATS", chunk=chunk.number, error=str(error))
                await asyncio.sleep(AGAIN_AFTER)
