"""From the stream into the table, whatever happens in between."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import nats
import pytest
from estafette_common.bus.messages.logs import End, Entry, Line, LogChunk, SealedLogChunk
from estafette_common.bus.messages.message import Envelope
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.subjects import LOG, fill
from estafette_common.bus.topology import declare
from estafette_common.database.pool import Database
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from log_sink.chunks import Chunks
from log_sink.sink import Sink
from nats.js import JetStreamContext

CAUSE = Envelope(id="1", type=LogChunk.TYPE, source="test", time=datetime(2026, 1, 1, tzinfo=UTC))


def chunk(number: int, *, of: int = 0, job: str = "1") -> LogChunk:
    entries: list[Entry] = [Line(stage="s", number=number, time="t", text=f"line {number}")]
    if number == of:
        entries.append(End(outcome="succeeded"))
    return LogChunk(kind="build", job_id=job, attempt=1, number=number, first=number, entries=entries)


def sealed(chunk: LogChunk, **headers: str) -> SealedLogChunk:
    changed = {f"estafette-{name}": value for name, value in headers.items()}
    return SealedLogChunk.decode(chunk.encode(), chunk.headers | changed)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def sink(database: Database) -> AsyncIterator[Sink]:
    sink = Sink(Chunks(database))
    await sink.start()
    yield sink
    await sink.stop()


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_server.url)
    await declare(client.jetstream(), [])
    yield client.jetstream()
    await client.close()


class Processes:
    """The service as processes, to kill and start again."""

    def __init__(self, nats_url: str, database_url: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
        self._environment = inherited | {
            "ESTAFETTE_NATS_URL": nats_url,
            "ESTAFETTE_DATABASE_URL": database_url,
            "ESTAFETTE_COMPACT_INTERVAL": "0.2",
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._running.append(
            subprocess.Popen(
                [sys.executable, "-m", "log_sink"],
                env=self._environment | {"ESTAFETTE_PORT": str(free_port())},
                stdout=subprocess.DEVNULL,
            )
        )

    def end(self, how: signal.Signals) -> None:
        process = self._running.pop(0)
        process.send_signal(how)
        process.wait()

    def end_all(self) -> None:
        while self._running:
            self.end(signal.SIGKILL)


@pytest.fixture
async def processes(nats_server: NatsServer, database_url: str) -> AsyncIterator[Processes]:
    processes = Processes(nats_server.url, database_url)
    yield processes
    processes.end_all()


async def texts(database: Database, job: str = "1") -> list[str]:
    rows = await database.pool.fetch("SELECT body FROM log_chunks WHERE job_id = $1 ORDER BY attempt, number", job)
    found = [entry for row in rows for entry in LogChunk.decode(row["body"]).entries]
    return [entry.text for entry in found if isinstance(entry, Line)]


async def test_a_handler_that_is_called_again_because_its_ack_was_lost_stores_nothing_more(
    sink: Sink, database: Database
) -> None:
    for _ in range(2):
        await sink.on_chunk(sealed(chunk(1)), CAUSE)

    assert await texts(database) == ["line 1"]


async def test_a_chunk_is_stored_when_its_handler_returns(sink: Sink, database: Database) -> None:
    async def handle(number: int) -> None:
        await sink.on_chunk(sealed(chunk(number)), CAUSE)
        assert await database.pool.fetchval("SELECT true FROM log_chunks WHERE number = $1", number)

    await asyncio.gather(*(handle(number) for number in range(1, 200)))


async def test_a_chunk_that_cannot_be_stored_keeps_none_beside_it_from_being_stored(
    sink: Sink, database: Database
) -> None:
    bad = sealed(chunk(5), attempt=str(2**63))
    handled = [sealed(chunk(1)), sealed(chunk(2)), bad, sealed(chunk(3))]

    await asyncio.gather(*(sink.on_chunk(each, CAUSE) for each in handled), return_exceptions=True)

    assert await texts(database) == ["line 1", "line 2", "line 3"]


async def test_a_job_cannot_write_into_the_log_of_another(
    jetstream: JetStreamContext, processes: Processes, database: Database
) -> None:
    processes.start()
    mine = fill(LOG, kind="build", job_id="1")
    forged = chunk(1, job="2")
    await jetstream.publish(mine, forged.encode(), headers=dict(forged.headers))
    await jetstream.publish(mine, chunk(2).encode(), headers=dict(chunk(2).headers))

    await eventually(lambda: _holds(database, ["line 2"]))

    assert await texts(database, job="2") == []


async def test_sinks_may_be_killed_and_replaced_while_chunks_come(
    jetstream: JetStreamContext, nats_server: NatsServer, processes: Processes, database: Database
) -> None:
    count = 600
    client = await nats.connect(nats_server.url)
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    processes.start()
    processes.start()

    for number in range(1, count + 1):
        each = chunk(number, of=count)
        await publisher.publish(each, id=each.id)
        if number % 150 == 0:
            await eventually(lambda: texts(database))
            processes.end(signal.SIGKILL if number % 300 else signal.SIGTERM)
            processes.start()

    # What a killed sink had in hand comes again after the time a handler may be silent.
    await eventually(lambda: _compacted(database, count), within=40)
    assert await texts(database) == [f"line {number}" for number in range(1, count + 1)]
    await client.close()


async def _holds(database: Database, expected: list[str]) -> bool:
    return await texts(database) == expected


async def _compacted(database: Database, last: int) -> bool:
    return bool(await database.pool.fetchval("SELECT count(*) = 1 AND max(last_number) = $1 FROM log_chunks", last))
