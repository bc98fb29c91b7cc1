"""Compaction keeps every entry, and what is wrong with one log is no matter of another."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from estafette_common.bus.messages.logs import End, Entry, Line, LogChunk, SealedLogChunk
from estafette_common.database.pool import Database
from estafette_local.waiting import eventually
from log_sink.chunks import Chunks, Log
from log_sink.compacting import Compactor
from log_sink.joining import ENTRIES_OF_A_ROW


def chunk(number: int, *, job: str = "1", size: int = 2, ends: bool = False) -> LogChunk:
    first = (number - 1) * size + 1
    entries: list[Entry] = [
        Line(stage="s", number=n, time="t", text=f"line {n} \x1b[31mröd\x1b[0m \0", stream="stderr")
        for n in range(first, first + size)
    ]
    if ends:
        entries.append(End(outcome="succeeded"))
    return LogChunk(kind="build", job_id=job, attempt=1, number=number, first=first, entries=entries)


def log(chunks: int, *, job: str = "1", size: int = 2) -> list[LogChunk]:
    return [chunk(number, job=job, size=size, ends=number == chunks) for number in range(1, chunks + 1)]


def sealed(*chunks: LogChunk) -> list[SealedLogChunk]:
    return [SealedLogChunk.decode(each.encode(), each.headers) for each in chunks]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


async def entries(chunks: Chunks, job: str = "1") -> list[Entry]:
    rows = await chunks.read(Log(job_id=job, attempt=1))
    return [entry for _, _, body in rows for entry in LogChunk.decode(body).entries]


async def rows(chunks: Chunks, job: str = "1") -> list[tuple[int, int]]:
    return [(number, last) for number, last, _ in await chunks.read(Log(job_id=job, attempt=1))]


async def test_a_log_that_somebody_else_joined_meanwhile_stays_as_it_is(database: Database) -> None:
    chunks = Chunks(database)
    await chunks.add(sealed(*log(9)))
    ended = await chunks.ended()
    await Compactor(chunks, interval=60).look()

    await Compactor(chunks, interval=60).compact(ended[0])

    assert await rows(chunks) == [(1, 9)]


async def test_every_entry_is_the_same_after_compaction(database: Database) -> None:
    chunks = Chunks(database)
    await chunks.add(sealed(*log(9)))

    await Compactor(chunks, interval=60).look()

    assert await rows(chunks) == [(1, 9)]
    assert await entries(chunks) == [entry for each in log(9) for entry in each.entries]


async def test_a_long_log_becomes_rows_of_a_bounded_size_that_follow_each_other(database: Database) -> None:
    chunks = Chunks(database)
    whole = log(95, size=500)
    await chunks.add(sealed(*whole))

    await Compactor(chunks, interval=60).look()
    found = await database.pool.fetch(
        "SELECT number, last_number, first_entry, entry_count, ends FROM log_chunks ORDER BY number"
    )

    assert max(row["entry_count"] for row in found) <= ENTRIES_OF_A_ROW
    assert [tuple(row) for row in found] == [
        (1, 40, 1, 20_000, False),
        (41, 80, 20_001, 20_000, False),
        (81, 95, 40_001, 7_501, True),
    ]
    assert await entries(chunks) == [entry for each in whole for entry in each.entries]


async def test_a_long_log_is_compacted_once(database: Database) -> None:
    chunks = Chunks(database)
    await chunks.add(sealed(*log(50, size=500)))
    compactor = Compactor(chunks, interval=60)

    await compactor.look()

    assert await chunks.ended() == []


async def test_a_log_that_did_not_end_is_left_alone(database: Database) -> None:
    chunks = Chunks(database)
    await chunks.add(sealed(*log(5)[:4]))

    await Compactor(chunks, interval=60).look()

    assert await rows(chunks) == [(1, 1), (2, 2), (3, 3), (4, 4)]


async def test_each_attempt_is_a_log_of_its_own(database: Database) -> None:
    chunks = Chunks(database)
    [first] = sealed(chunk(1))
    await chunks.add(
        [first, *(SealedLogChunk.decode(each.encode(), each.headers | {"estafette-attempt": "2"}) for each in log(3))]
    )

    await Compactor(chunks, interval=60).look()

    assert await rows(chunks) == [(1, 1)]
    assert [(number, last) for number, last, _ in await chunks.read(Log(job_id="1", attempt=2))] == [(1, 3)]


async def test_a_log_that_cannot_be_read_keeps_no_other_from_compaction(database: Database) -> None:
    chunks = Chunks(database)
    for job in ("a", "b", "c"):
        await chunks.add(sealed(*log(3, job=job)))
    await database.pool.execute("UPDATE log_chunks SET body = 'no chunk' WHERE job_id = 'a' AND number = 2")

    compactor = Compactor(chunks, interval=0.02)
    await compactor.start()

    async def compacted() -> bool:
        return (await rows(chunks, "b"), await rows(chunks, "c")) == ([(1, 3)], [(1, 3)])

    await eventually(compacted)
    await compactor.stop()


async def test_logs_with_gaps_keep_no_other_from_compaction(database: Database) -> None:
    chunks = Chunks(database)
    for job in range(100):
        await chunks.add(sealed(chunk(3, job=f"gap-{job}", ends=True)))
    await chunks.add(sealed(*log(3, job="whole")))

    await Compactor(chunks, interval=60).look()

    assert await rows(chunks, "whole") == [(1, 3)]


async def test_a_chunk_held_up_while_its_log_is_compacted_is_not_doubled(database: Database) -> None:
    chunks = Chunks(database)
    holding = await database.pool.acquire()
    transaction = holding.transaction()
    await transaction.start()
    await holding.execute(
        "INSERT INTO log_chunks VALUES ('0', 1, 1, 1, 'build', 1, 1, false, 'x', now())"
    )  # another replica, in the middle of storing the first chunk of job 0
    repeated = asyncio.ensure_future(chunks.add(sealed(chunk(1, job="0"), chunk(2))))
    await eventually(lambda: _waits(database))

    await chunks.add(sealed(*log(3)))
    await Compactor(chunks, interval=60).look()
    await transaction.commit()
    await database.pool.release(holding)
    await repeated

    assert await rows(chunks) == [(1, 3)]


async def _waits(database: Database) -> bool:
    return bool(
        await database.pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    )
