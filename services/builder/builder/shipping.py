"""Getting the log out: entries become numbered chunks, published in order, one at a time, until stored."""

import asyncio
import time
from datetime import UTC, datetime

import structlog
from estafette_common.bus.messages.logs import Change, End, Entry, Image, Line, LogChunk
from estafette_common.bus.publishing import NotStoredError, Publisher
from estafette_common.jobs.lifecycle import Outcome, StageStatus
from estafette_common.jobs.plan import Plan

from builder.masking import Masker

log = structlog.get_logger()

MOST_ENTRIES = 500
"""Entries of a chunk; what measured best to store and read."""

MOST_BYTES = 256 * 1024
"""Bytes of text in a chunk, well below what a message may hold."""

GATHER = 0.1
"""Seconds that entries are gathered after a chunk was sent; the first after a pause is sent at once."""

MOST_WAITING = 32 * 1024 * 1024
"""Bytes of text that wait for NATS before reading from stages stops; nothing is dropped."""

AGAIN_AFTER = 0.5
"""Seconds before a chunk that was not stored is sent again."""


def timestamp() -> str:
    """Return now as RFC 3339 with nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


class Shipper:
    """Takes entries of one attempt of a job, and publishes them."""

    def __init__(self, publisher: Publisher, plan: Plan, *, attempt: int, masker: Masker) -> None:
        self._publisher = publisher
        self._plan = plan
        self._attempt = attempt
        self._mask = masker
        self._entries: list[Entry] = []
        self._bytes = 0
        self._numbers: dict[str, int] = {}
        self._sent_entries = 0
        self._sent_chunks = 0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False

    def line(self, stage: str, text: str, *, stream: str = "stdout") -> None:
        """Take a line of a stage."""
        number = self._numbers.get(stage, 0) + 1
        self._numbers[stage] = number
        self._add(Line(stage=stage, number=number, time=timestamp(), text=self._mask(text), stream=stream), len(text))

    def change(
        self,
        stage: str,
        status: StageStatus,
        *,
        image: Image | None = None,
        seconds: float = 0.0,
        exit_code: int = 0,
        auto_injected: bool = False,
    ) -> None:
        """Take a change of a stage's status."""
        self._add(
            Change(
                stage=stage,
                status=status,
                time=timestamp(),
                image=image,
                duration=int(seconds * 1e9),
                exit_code=exit_code,
                auto_injected=auto_injected,
            ),
            100,
        )

    def end(self, outcome: Outcome) -> None:
        """Take the end: nothing follows."""
        self._add(End(outcome=outcome), 10)
        self._ended = True

    async def room(self) -> None:
        """Wait until more may be taken."""
        await self._room.wait()

    async def run(self) -> None:
        """Publish until the end is stored. NATS may go away and come back meanwhile."""
        last = 0.0
        while self._entries or not self._ended:
            await self._some.wait()
            if (pause := last + GATHER - time.monotonic()) > 0 and not self._ended:
                await self._gather(pause)
            await self._send(self._take())
            last = time.monotonic()

    async def _gather(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._full.wait()
        except TimeoutError:
            return

    def _add(self, entry: Entry, size: int) -> None:
        self._entries.append(entry)
        self._bytes += size
        self._some.set()
        if len(self._entries) >= MOST_ENTRIES or self._bytes >= MOST_BYTES or isinstance(entry, End):
            self._full.set()
        if self._bytes > MOST_WAITING:
            self._room.clear()

    def _take(self) -> LogChunk:
        count = size = 0
        for entry in self._entries[:MOST_ENTRIES]:
            size += len(entry.text) if isinstance(entry, Line) else 100
            if count and size > MOST_BYTES:
                break
            count += 1
        taken, self._entries = self._entries[:count], self._entries[count:]
        self._bytes = max(0, self._bytes - size) if self._entries else 0
        self._sent_chunks += 1
        first, self._sent_entries = self._sent_entries + 1, self._sent_entries + count
        if not self._entries:
            self._some.clear()
        if len(self._entries) < MOST_ENTRIES:
            self._full.clear()
        if self._bytes <= MOST_WAITING:
            self._room.set()
        return LogChunk(
            kind=self._plan.kind,
            job_id=self._plan.job_id,
            attempt=self._attempt,
            number=self._sent_chunks,
            first=first,
            entries=taken,
        )

    async def _send(self, chunk: LogChunk) -> None:
        while True:
            try:
                return await self._publisher.publish(chunk, id=chunk.id)
            except NotStoredError as error:
                log.warning("log chunk waits for NATS", chunk=chunk.number, error=str(error))
                await asyncio.sleep(AGAIN_AFTER)
