"""Getting the log out: entries become numbered chunks, published in order, one at a time, until stored.

What waits is kept in memory. While NATS is away, what memory does not hold goes to disk; a stage waits only when that
has no room either, or when NATS is there and takes less than the stage prints.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
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
from builder.spool import Spool

log = structlog.get_logger()

GATHER = 0.1
"""Seconds that entries are gathered after a chunk was sent; the first line of a stage is sent at once."""

MOST_WAITING = 16 * 1024 * 1024
"""Bytes of memory that what waits may take; nothing is dropped."""

AWAY_AFTER = 1.0
"""Seconds that a chunk takes to be stored after which NATS counts as away."""

LARGEST_MESSAGE = 1024 * 1024
"""Bytes that nats-server takes unless it is told otherwise, headers included."""

BESIDE = 4096
"""Bytes of a message beside its entries: headers, and the fields of the chunk."""

WORST = 6
"""Bytes that JSON makes of a character at most: `\\u0000`."""

AGAIN_AFTER = 0.5
"""Seconds before a chunk that was not stored is sent again."""


class Clock:
    """Gives the times of entries, none before another that it gave earlier; `read` gives nanoseconds since 1970."""

    def __init__(self, read: Callable[[], int] = time.time_ns) -> None:
        self._read = read
        self._last = 0

    def now(self) -> str:
        """Return now as RFC 3339 with nanoseconds."""
        self._last = max(self._last, self._read())
        seconds, nanoseconds = divmod(self._last, 1_000_000_000)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


class Shipper:
    """Takes entries of one attempt of a job, and publishes them, without secrets.

    `largest_message` is what NATS takes, in bytes. Without `spool`, stages wait for NATS once memory holds no more.
    """

    def __init__(
        self,
        publisher: Publisher,
        plan: Plan,
        *,
        attempt: int,
        masker: Masker,
        largest_message: int = LARGEST_MESSAGE,
        spool: Spool | None = None,
    ) -> None:
        self._publisher = publisher
        self._plan = plan
        self._attempt = attempt
        self._mask = masker
        self._largest_entry = min(largest_message, LARGEST_MESSAGE) * 250 // 256 - BESIDE
        """Bytes. What cannot be compressed grows by 1/256 at most (zstd.h, ZSTD_COMPRESSBOUND)."""
        self._backlog = Backlog(most=self._largest_entry // WORST)
        self._next: LogChunk | None = None
        """A chunk that the spool had no room for."""
        self._spool = spool
        """What came before all that waits in memory."""
        self._clock = Clock()
        self._numbers: dict[Place, int] = {}
        self._sent_entries = 0
        self._sent_chunks = 0
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._urgent = False
        self._away = False
        self._ended = False

    def line(self, place: Place, text: str, *, stream: str = "stdout") -> None:
        """Take a line that the builder says."""
        self.printed(place, [self._mask(text)], stream=stream)

    def printed(self, place: Place, texts: Sequence[str], *, stream: str) -> None:
        """Take lines of a stage in which secrets are masked already; one that no message holds becomes several."""
        if not texts:
            return
        number, now = self._numbers.get(place, 0), self._clock.now()
        empty = Line(number=number + len(texts), time=now, text="", stream=stream, **place._asdict())
        beside = size_of(empty)
        if max(map(len, texts)) * WORST + beside > self._largest_entry:
            texts = [part for text in texts for part in _parts(text, most=self._largest_entry - beside)]
        lines = [
            Line(place.stage, at, now, text, stream, place.parent, place.service, place.run)
            for at, text in enumerate(texts, start=number + 1)
        ]
        self._numbers[place] = number + len(lines)
        self._add(lines, [beside + len(text) for text in texts], at_once=number == 0)

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
            time=self._clock.now(),
            image=self._masked(image) if image else None,
            duration=int(seconds * 1e9),
            exit_code=exit_code,
            auto_injected=auto_injected,
            **place._asdict(),
        )
        self._add([change], [size_of(change)])

    def end(self, outcome: Outcome) -> None:
        """Take the end: nothing follows."""
        self._ended = True
        end = End(outcome=outcome)
        self._add([end], [size_of(end)])

    async def room(self) -> None:
        """Wait until more may be taken."""
        await self._room.wait()

    async def run(self) -> None:
        """Publish until the end is stored. NATS may go away and come back meanwhile."""
        last = 0.0
        try:
            while self._waits or not self._ended:
                await self._some.wait()
                if (pause := last + GATHER - time.monotonic()) > 0 and not self._ended:
                    await self._gather(pause)
                await self._send(self._take())
                last = time.monotonic()
        finally:
            if self._spool is not None:
                self._spool.close()

    async def _gather(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._enough.wait()
        except TimeoutError:
            return

    def _masked(self, image: Image) -> Image:
        hidden = {name: self._mask(getattr(image, name)) for name in ("name", "tag", "error")}
        return msgspec.structs.replace(image, **hidden)

    def _add(self, entries: Sequence[Entry], sizes: Sequence[int], *, at_once: bool = False) -> None:
        self._backlog.add(entries, sizes)
        self._urgent = self._urgent or at_once
        self._mark()

    def _mark(self) -> None:
        """Tell those who wait how things are."""
        if self._away and self._backlog.memory > MOST_WAITING:
            self._spill()
        _set(self._some, self._waits)
        _set(self._enough, self._urgent or self._ended or self._has_chunk or self._backlog.fills_a_chunk)
        _set(self._room, self._backlog.memory <= MOST_WAITING)

    @property
    def _waits(self) -> bool:
        return self._has_chunk or bool(self._backlog)

    @property
    def _has_chunk(self) -> bool:
        return bool(self._spool) or self._next is not None

    def _take(self) -> LogChunk:
        """Return, and forget, the chunk that is to be sent next."""
        if self._spool:
            chunk = LogChunk.decode(self._spool.take())
        else:
            chunk, self._next = self._next or self._number(self._backlog.take()), None
        self._urgent = False
        self._mark()
        return chunk

    def _spill(self) -> None:
        """Put what waits in memory on disk, as far as that has room."""
        while self._spool is not None and (self._next is not None or self._backlog):
            self._next = self._next or self._number(self._backlog.take())
            if not self._spool.put(self._next.encode()):
                return
            self._next = None

    def _number(self, entries: list[Entry]) -> LogChunk:
        self._sent_chunks += 1
        first, self._sent_entries = self._sent_entries + 1, self._sent_entries + len(entries)
        return LogChunk(
            kind=self._plan.kind,
            job_id=self._plan.job_id,
            attempt=self._attempt,
            number=self._sent_chunks,
            first=first,
            entries=entries,
        )

    async def _send(self, chunk: LogChunk) -> None:
        away = asyncio.get_running_loop().call_later(AWAY_AFTER, self._stay_away)
        try:
            while True:
                try:
                    return await self._publisher.publish(chunk, id=chunk.id)
                except NotStoredError as error:
                    log.warning("log chunk waits for NATS", chunk=chunk.number, error=str(error))
                    await asyncio.sleep(AGAIN_AFTER)
        finally:
            away.cancel()
            self._away = False

    def _stay_away(self) -> None:
        self._away = True
        self._mark()


def _parts(text: str, *, most: int) -> Iterator[str]:
    """Give a text in parts that take at most so many bytes each."""
    if len(text) < 2 or size_of(text) <= most:
        yield text
    else:
        middle = len(text) // 2
        yield from _parts(text[:middle], most=most)
        yield from _parts(text[middle:], most=most)


def _set(event: asyncio.Event, yes: bool) -> None:  # noqa: FBT001  what it is set to
    if yes:
        event.set()
    else:
        event.clear()
