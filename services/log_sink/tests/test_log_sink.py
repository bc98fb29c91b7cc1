import asyncio
import random
from collections.abc import AsyncIterator

import asyncpg
import nats
import pytest
from aiohttp import web
from estafette_common.bus.messages.logs import End, Entry, Line, LogChunk, SealedLogChunk
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.topology import declare
from estafette_common.database.pool import Database
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from log_sink.app import create_app
from log_sink.chunks import Chunks, Log
from log_sink.compacting import Compactor
from log_sink.settings import Settings


def chunk(number: int, *, ends: bool = False) -> LogChunk:
    first = (number - 1) * 3 + 1
    lines: list[Entry] = [Line(stage="s", number=n, time="t", text=f"line {n}") for n in range(first, first + 3)]
    return LogChunk(
        kind="build",
        job_id="1",
        attempt=1,
        number=number,
        first=first,
        entries=[*lines, End(outcome="succeeded")] if ends else lines,
    )


def sealed(chunk: LogChunk) -> SealedLogChunk:
    return SealedLogChunk.decode(chunk.encode(), chunk.headers)


ALL = [chunk(number, ends=number == 20) for number in range(1, 21)]
TEXTS = [f"line {n}" for n in range(1, 61)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


async def texts(database: Database) -> list[str]:
    rows = await database.pool.fetch("SELECT body FROM log_chunks WHERE job_id = '1' AND attempt = 1 ORDER BY number")
    entries = [entry for row in rows for entry in LogChunk.decode(row["body"]).entries]
    return [entry.text for entry in entries if isinstance(entry, Line)]


async def test_shuffled_and_redelivered_chunks_are_stored_once_each(database: Database) -> None:
    chunks = Chunks(database)
    deliveries = [sealed(each) for each in ALL] * 3
    random.Random(1).shuffle(deliveries)

    await asyncio.gather(*(chunks.add(deliveries[start : start + 7]) for start in range(0, 60, 7)))

    assert await texts(database) == TEXTS


async def test_a_log_that_ended_is_compacted_and_reads_the_same(database: Database) -> None:
    chunks = Chunks(database)
    await chunks.add([sealed(each) for each in ALL])

    await Compactor(chunks, interval=60).look()

    assert await texts(database) == TEXTS
    assert await database.pool.fetchval("SELECT count(*) FROM log_chunks") == 1


async def test_a_chunk_that_comes_again_after_compaction_is_not_doubled(database: Database) -> None:
    chunks = Chunks(database)
    await chunks.add([sealed(each) for each in ALL])
    await Compactor(chunks, interval=60).look()

    await chunks.add([sealed(ALL[6]), sealed(ALL[0]), sealed(ALL[19])])

    assert await texts(database) == TEXTS


async def test_two_compactors_at_once_do_no_harm(database: Database) -> None:
    chunks = Chunks(database)
    await chunks.add([sealed(each) for each in ALL])

    await asyncio.gather(*(Compactor(chunks, interval=60).look() for _ in range(4)))

    assert await texts(database) == TEXTS


async def test_a_log_with_a_gap_waits_for_it(database: Database) -> None:
    chunks = Chunks(database)
    await chunks.add([sealed(each) for each in ALL if each.number != 7])
    compactor = Compactor(chunks, interval=60)

    await compactor.look()
    await chunks.add([sealed(ALL[6])])
    await compactor.look()

    assert await texts(database) == TEXTS
    assert [len(await chunks.read(Log(job_id="1", attempt=1)))] == [1]


async def test_two_sinks_store_what_is_published(
    nats_server: NatsServer, database_url: str, database: Database
) -> None:
    settings = Settings(nats_url=nats_server.url, database_url=database_url, compact_interval=0.05)
    runners = [web.AppRunner(create_app(settings)) for _ in range(2)]
    for runner in runners:
        await runner.setup()
    client = await nats.connect(nats_server.url)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()

    for each in ALL:
        await publisher.publish(each, id=each.id)

    await eventually(lambda: _is(database, 1))
    assert await texts(database) == TEXTS
    await client.close()
    for runner in runners:
        await runner.cleanup()


async def _is(database: Database, rows: int) -> bool:
    try:
        return bool(
            await database.pool.fetchval("SELECT count(*) FROM log_chunks WHERE last_number = 20 AND number = 1")
            == rows
        )
    except asyncpg.PostgresError:
        return False
