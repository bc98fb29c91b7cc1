import asyncio
import random
from pathlib import Path

from builder.backlog import MOST_ENTRIES
from builder.lines import LONGEST
from builder.masking import Masker
from builder.places import Place
from builder.shipping import GATHER, LARGEST_MESSAGE, MOST_WAITING, Clock, Shipper
from builder.spool import Spool
from estafette_common.bus.messages.logs import Change, End, Entry, Image, Line, LogChunk
from estafette_common.bus.messages.message import Encoded, Message
from estafette_common.bus.publishing import NotStoredError
from estafette_common.jobs.lifecycle import Outcome, StageStatus
from estafette_local import plans
from estafette_local.waiting import eventually

PLAN = plans.plan(job_id="1")


class Stream:
    """Stores what is published, unless it is away; takes `most` chunks and then none until it is `back`."""

    def __init__(self, *, most: int = 1_000_000) -> None:
        self.chunks: list[LogChunk] = []
        self.refusals = 0
        self.some = asyncio.Event()
        self.full = asyncio.Event()
        self.back = asyncio.Event()
        self._most = most

    def come_back(self) -> None:
        """Take everything from now on."""
        self._most = -1
        self.back.set()

    async def published(self) -> None:
        """Wait until something more is stored."""
        self.some.clear()
        await self.some.wait()

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        assert isinstance(message, LogChunk)
        assert id == message.id
        if self.refusals:
            self.refusals -= 1
            raise NotStoredError("away")
        if len(self.chunks) == self._most:
            self.full.set()
            await self.back.wait()
        self.chunks.append(message)
        self.some.set()

    @property
    def entries(self) -> list[Entry]:
        return [entry for chunk in self.chunks for entry in chunk.entries]

    @property
    def lines(self) -> list[Line]:
        return [entry for entry in self.entries if isinstance(entry, Line)]


def shipper_to(stream: Stream, *secrets: str, spool: Spool | None = None) -> Shipper:
    return Shipper(stream, PLAN, attempt=1, masker=Masker(secrets), spool=spool)


async def may_take(shipper: Shipper) -> bool:
    """Return whether the shipper takes more now."""
    try:
        async with asyncio.timeout(0.01):
            await shipper.room()
    except TimeoutError:
        return False
    return True


async def test_chunks_and_entries_are_numbered_without_gap() -> None:
    stream = Stream()
    shipper = shipper_to(stream)
    for number in range(3 * MOST_ENTRIES + 1):
        shipper.line(Place("test"), str(number))
    shipper.end(Outcome.SUCCEEDED)

    await shipper.run()

    assert [chunk.number for chunk in stream.chunks] == list(range(1, len(stream.chunks) + 1))
    firsts = [1]
    for chunk in stream.chunks:
        firsts.append(firsts[-1] + len(chunk.entries))
    assert [chunk.first for chunk in stream.chunks] == firsts[:-1]
    lines = [line.text for line in stream.lines]
    assert lines == [str(number) for number in range(3 * MOST_ENTRIES + 1)]
    assert stream.entries[-1] == End(outcome="succeeded")


async def test_the_first_entry_is_sent_at_once_and_the_next_ones_together() -> None:
    stream = Stream()
    shipper = shipper_to(stream)
    shipping = asyncio.ensure_future(shipper.run())
    shipper.line(Place("test"), "first")
    await stream.some.wait()
    for number in range(10):
        shipper.line(Place("test"), str(number))
        await asyncio.sleep(0)
    shipper.end(Outcome.SUCCEEDED)
    await shipping

    assert [len(chunk.entries) for chunk in stream.chunks] == [1, 11]


async def test_the_first_line_of_a_stage_waits_for_nothing() -> None:
    stream = Stream()
    shipper = shipper_to(stream)
    shipping = asyncio.ensure_future(shipper.run())
    for name in ("one", "two"):
        stream.some.clear()
        shipper.line(Place(name), "first")
        async with asyncio.timeout(GATHER / 2):
            await stream.some.wait()
    shipper.end(Outcome.SUCCEEDED)
    await shipping

    assert [len(chunk.entries) for chunk in stream.chunks[:2]] == [1, 1]


async def test_a_chunk_that_is_refused_is_sent_again_before_the_next() -> None:
    stream = Stream()
    stream.refusals = 1
    shipper = shipper_to(stream)
    for number in range(MOST_ENTRIES + 1):
        shipper.line(Place("test"), str(number))
    shipper.end(Outcome.FAILED)

    await shipper.run()

    assert [chunk.number for chunk in stream.chunks] == [1, 2]


async def test_lines_are_numbered_within_their_stage() -> None:
    stream = Stream()
    shipper = shipper_to(stream)
    for stage in ("one", "two", "one"):
        shipper.line(Place(stage), "")
    shipper.end(Outcome.SUCCEEDED)

    await shipper.run()

    numbers = [(line.stage, line.number) for line in stream.lines]
    assert numbers == [("one", 1), ("two", 1), ("one", 2)]


async def test_reading_stops_when_much_waits_and_goes_on_when_it_is_out() -> None:
    stream = Stream()
    shipper = shipper_to(stream)
    while await may_take(shipper):
        for _ in range(100):
            shipper.line(Place("test"), "x" * 10_000)
    shipper.end(Outcome.SUCCEEDED)

    await shipper.run()

    assert await may_take(shipper)


async def test_what_waits_is_still_counted_after_some_of_it_is_out() -> None:
    stream = Stream(most=100)
    shipper = shipper_to(stream)
    for _ in range(300):
        shipper.line(Place("test"), "x" * 200_000)
    shipping = asyncio.ensure_future(shipper.run())

    await stream.full.wait()

    assert MOST_WAITING < 199 * 200_000
    assert not await may_take(shipper)
    shipping.cancel()


async def test_many_short_lines_that_wait_stop_reading_too() -> None:
    shipper = shipper_to(Stream())
    for _ in range(MOST_WAITING // 150):
        shipper.printed(Place("test"), [""], stream="stdout")

    assert not await may_take(shipper)


async def fill(shipper: Shipper, *, first: int, mebibytes: int) -> int:
    """Print numbered lines of about a kilobyte for as long as that is taken; return the number of the next."""
    number = first
    while number < first + mebibytes * 1024 and await may_take(shipper):
        shipper.printed(
            Place("test"), [f"{each} " + "x" * 1000 for each in range(number, number + 100)], stream="stdout"
        )
        number += 100
    return number


async def test_a_stage_goes_on_while_nats_is_away_and_all_comes_in_order_once_it_is_back(tmp_path: Path) -> None:
    stream = Stream(most=3)
    shipper = shipper_to(stream, spool=Spool(tmp_path, most_bytes=1 << 30))
    shipping = asyncio.ensure_future(shipper.run())
    count = await fill(shipper, first=0, mebibytes=1)
    await stream.full.wait()
    await eventually(lambda: _is_away(shipper))

    count = await fill(shipper, first=count, mebibytes=5 * MOST_WAITING >> 20)
    assert count > 4 * MOST_WAITING // 1024
    stream.come_back()
    while (more := await fill(shipper, first=count, mebibytes=1)) == count:
        await stream.published()
    shipper.end(Outcome.SUCCEEDED)
    await shipping

    assert [int(line.text.split()[0]) for line in stream.lines] == list(range(more))
    assert [line.number for line in stream.lines] == list(range(1, more + 1))
    assert [chunk.number for chunk in stream.chunks] == list(range(1, len(stream.chunks) + 1))


async def test_a_stage_waits_once_disk_and_memory_are_full_and_goes_on_once_nats_is_back(tmp_path: Path) -> None:
    stream = Stream(most=3)
    shipper = shipper_to(stream, spool=Spool(tmp_path, most_bytes=100_000))
    shipping = asyncio.ensure_future(shipper.run())
    count = await fill(shipper, first=0, mebibytes=1)
    await stream.full.wait()
    await eventually(lambda: _is_away(shipper))

    count = await fill(shipper, first=count, mebibytes=1000)
    assert not await may_take(shipper)
    stream.come_back()
    await shipper.room()
    shipper.end(Outcome.SUCCEEDED)
    await shipping

    assert [int(line.text.split()[0]) for line in stream.lines] == list(range(count))


async def test_a_stage_waits_for_nats_that_is_only_slow(tmp_path: Path) -> None:
    stream = Stream(most=0)
    shipper = shipper_to(stream, spool=Spool(tmp_path, most_bytes=1 << 30))
    shipping = asyncio.ensure_future(shipper.run())

    count = await fill(shipper, first=0, mebibytes=1000)

    assert count * 1000 < 2 * MOST_WAITING
    shipping.cancel()


async def _is_away(shipper: Shipper) -> bool:
    return shipper._away


def test_no_time_is_before_one_that_was_given_earlier() -> None:
    clock = Clock(iter([1_700_000_000_000_000_002, 1_700_000_000_000_000_001, 1_700_000_000_000_000_003]).__next__)

    assert [clock.now() for _ in range(3)] == [f"2023-11-14T22:13:20.00000000{digit}Z" for digit in (2, 2, 3)]


async def test_a_chunk_always_fits_in_a_message() -> None:
    stream = Stream()
    shipper = shipper_to(stream)
    alphabet = [chr(code) for code in range(1, 128) if chr(code) != "\n"]
    shipper.line(Place("test"), "".join(random.Random(1).choices(alphabet, k=LONGEST)))
    shipper.end(Outcome.SUCCEEDED)

    await shipper.run()

    assert max(len(chunk.encode()) for chunk in stream.chunks) < LARGEST_MESSAGE - 4096


async def test_a_secret_in_an_images_name_does_not_show() -> None:
    stream = Stream()
    shipper = shipper_to(stream, "hunter2-hunter2")
    shipper.change(Place("test"), StageStatus.RUNNING, image=Image(name="hunter2-hunter2.example/shop", tag="1"))
    shipper.end(Outcome.SUCCEEDED)

    await shipper.run()

    [change] = [entry for entry in stream.entries if isinstance(entry, Change)]
    assert change.image is not None
    assert change.image.name == "***.example/shop"


async def test_a_line_that_a_small_message_cannot_hold_comes_in_several() -> None:
    stream = Stream()
    shipper = Shipper(stream, PLAN, attempt=1, masker=Masker([]), largest_message=64 * 1024)
    noise = "".join(random.Random(1).choices([chr(code) for code in range(1, 0x3000)], k=100_000))
    shipper.line(Place("test"), noise)
    shipper.end(Outcome.SUCCEEDED)

    await shipper.run()

    lines = stream.lines
    assert "".join(line.text for line in lines) == noise
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert max(len(chunk.encode()) for chunk in stream.chunks) < 64 * 1024
