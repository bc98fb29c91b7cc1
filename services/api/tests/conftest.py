"""The real application on real servers, with what planner, builder and log-sink would have made."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import aiohttp
import nats
import pytest
from aiohttp import web
from api.app import create_app
from api.settings import Settings
from estafette_common.bus.messages.logs import End, Entry, Line, LogChunk
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.topology import declare
from estafette_common.database.pool import Database
from estafette_local.people import Person, Told
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from nats.js import JetStreamContext

BUILD = {"id": "7", "repoSource": "github.com", "repoOwner": "acme", "repoName": "shop"}


class Scene:
    """What a test sees: the API at `url`, and the hands of the other services."""

    stream_path = "/api/pipelines/github.com/acme/shop/builds/7/logs.stream"

    def __init__(
        self,
        url: str,
        database: Database,
        jetstream: JetStreamContext,
        publisher: JetStreamPublisher,
        session: aiohttp.ClientSession,
    ) -> None:
        self.url = url
        self.database = database
        self.jetstream = jetstream
        self.person = Person(session, ingress="", api=url)
        self.session = session
        self.publisher = publisher

    async def build(
        self,
        build_id: str = "7",
        *,
        status: str = "running",
        name: str = "shop",
        counter: int = 1,
        manifest: str = "env: {A: estafette.secret(abc.def)}",
    ) -> None:
        await self.database.pool.execute(
            """
            INSERT INTO builds (id, source, owner, name, branch, revision, counter, version, status, labels, manifest,
                commits, trigger_events, started_at)
            VALUES ($1, 'github.com', 'acme', $2, 'main', $3, $4, $5, $6, '[]', $7, '[]', '[]', now())
            """,
            build_id, name, f"{counter:040x}", counter, f"1.0.{counter}", status, manifest,
        )  # fmt: skip
        await self.database.pool.execute(
            """
            INSERT INTO pipelines (source, owner, name, last_counter, last_build_id)
            VALUES ('github.com', 'acme', $1, $2, $3)
            ON CONFLICT (source, owner, name) DO UPDATE SET last_build_id = $3
            """,
            name, counter, build_id,
        )  # fmt: skip

    async def end(self, status: str = "succeeded") -> None:
        await self.database.pool.execute("UPDATE builds SET status = $1, finished_at = now()", status)

    @staticmethod
    def chunk(number: int, *texts: str, first: int, attempt: int = 1, end: str = "", start: int = 1) -> LogChunk:
        """Return a chunk of build 7; its entries are numbered from `first`, its lines from `start`."""
        entries: list[Entry] = [
            Line(stage="test", number=start + n, time="t", text=text) for n, text in enumerate(texts)
        ]
        if end:
            entries.append(End(outcome=end))
        return LogChunk(kind="build", job_id="7", attempt=attempt, number=number, first=first, entries=entries)

    @classmethod
    def log(cls, *texts: str) -> list[LogChunk]:
        """Return one chunk for each line, and the end in the last."""
        return [
            cls.chunk(number, text, first=number, start=number, end="succeeded" if number == len(texts) else "")
            for number, text in enumerate(texts, start=1)
        ]

    async def publish(self, *chunks: LogChunk) -> None:
        for chunk in chunks:
            await self.publisher.publish(chunk, id=chunk.id)

    async def store(self, *chunks: LogChunk, last_number: int | None = None) -> None:
        """Store chunks as log-sink does; with `last_number`, as it does after compaction."""
        for chunk in chunks:
            await self.database.pool.execute(
                "INSERT INTO log_chunks VALUES ($1, $2, $3, $4, 'build', $5, $6, $7, $8, now())",
                chunk.job_id, chunk.attempt, chunk.number, last_number or chunk.number, chunk.first,
                len(chunk.entries), isinstance(chunk.entries[-1], End), chunk.encode(),
            )  # fmt: skip

    async def watch(self, *, last_id: str = "") -> list[Told]:
        """Return all lines that a viewer is told until the log is closed; it comes back when it is cut off."""
        return [told async for told in self.person.watch(BUILD, last_id=last_id) if told.event == "log"]

    def viewer(self) -> asyncio.Future[list[Told]]:
        """Begin to watch."""
        return asyncio.ensure_future(self.watch())

    @staticmethod
    def texts(told: Sequence[Told]) -> list[str]:
        return [each.data["logLine"]["text"].rstrip("\n") for each in told]

    async def followers(self) -> int:
        """Return how many consumers follow logs."""
        return (await self.jetstream.stream_info("LOGS")).state.consumer_count

    async def followed(self, by: int = 1) -> None:
        """Wait until as many consumers follow logs."""

        async def as_many() -> bool:
            return await self.followers() == by

        await eventually(as_many, within=60)  # that a viewer went shows in a ping; then the server waits for it


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def viewer_patience() -> float:
    return 30.0


@pytest.fixture
def settings(nats_server: NatsServer, database_url: str, port: int, viewer_patience: float) -> Settings:
    return Settings(nats_url=nats_server.url, database_url=database_url, port=port, viewer_patience=viewer_patience)


@pytest.fixture
async def application(settings: Settings) -> AsyncIterator[str]:
    """The running application; gives its address."""
    runner = web.AppRunner(create_app(settings), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port).start()
    yield f"http://{settings.host}:{settings.port}"
    await runner.cleanup()


@pytest.fixture
async def scene(application: str, nats_server: NatsServer, database_url: str) -> AsyncIterator[Scene]:
    database = Database(database_url)
    await database.start()
    client = await nats.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    jetstream = client.jetstream()
    await declare(jetstream, [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    async with aiohttp.ClientSession() as session:
        scene = Scene(application, database, jetstream, publisher, session)
        await eventually(lambda: _ready(scene))
        yield scene
    await client.close()
    await database.stop()


async def _ready(scene: Scene) -> bool:
    async with scene.session.get(f"{scene.url}/readiness") as response:
        return response.status == 200
