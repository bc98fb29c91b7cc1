"""The scene of tests that need the planner as a whole: real NATS, PostgreSQL and git, and two replicas."""

import base64
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
from aiohttp import web
from estafette_common.bus.messages.commands import Answer
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.jobs import JobFinished, JobRequested, JobStarted
from estafette_common.bus.messages.message import Envelope, Message
from estafette_common.bus.publishing import JetStreamPublisher, Publisher
from estafette_common.bus.subjects import stream_of
from estafette_common.bus.topology import declare
from estafette_common.database.pool import Database
from estafette_common.github.client import GithubClient
from estafette_common.github.settings import GithubSettings
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Repository
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from manifest_planner.admissions import Admissions
from manifest_planner.app import create_app
from manifest_planner.bots import Bots
from manifest_planner.builds import Builds
from manifest_planner.chosen import Before
from manifest_planner.concurrency import Limits
from manifest_planner.decisions import Decisions
from manifest_planner.memories import Memories
from manifest_planner.planning import Server
from manifest_planner.queueing import Queue
from manifest_planner.releases import Releases
from manifest_planner.requests import Requests
from manifest_planner.sealing import Sealer
from manifest_planner.settings import Settings
from manifest_planner.usages import Usages
from nats.aio.client import Client

MOST_HOPS = 3


class Scene:
    """What is told to the planner, and what it tells and stores."""

    def __init__(self, client: Client, publisher: JetStreamPublisher, database: asyncpg.Connection, root: Path) -> None:
        self.client = client
        self.publisher = publisher
        self.database = database
        self._root = root
        self._deliveries = 0

    def repository(self, name: str) -> GitRepository:
        """Return a repository of acme."""
        return GitRepository(self._root / "repositories", "acme", name)

    async def tell(self, message: Message) -> str:
        """Publish a message; return its id."""
        self._deliveries += 1
        delivery = f"delivery-{self._deliveries}"
        await self.publisher.publish(message, id=delivery)
        return delivery

    async def push(self, name: str, manifest: str, *, branch: str = "main") -> dict[str, Any]:
        """Commit a manifest, tell of the push, and return the build."""
        revision = self.repository(name).commit({".estafette.yaml": manifest}, branch=branch)
        before = await self.count("builds")
        await self.tell(GitPushed(repository=place(name), ref=f"refs/heads/{branch}", revision=revision))
        builds = await self.rows("builds", before + 1)
        return builds[-1]

    async def end(self, kind: Kind, job_id: str, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        """Let a job run and end."""
        now = datetime.now(UTC)
        await self.tell(JobStarted(kind=kind, job_id=job_id, attempt=1, time=now))
        await self.tell(JobFinished(kind=kind, job_id=job_id, attempt=1, outcome=outcome, time=now))

    async def build(self, name: str, manifest: str, *, branch: str = "main") -> dict[str, Any]:
        """Push a manifest and let its build succeed."""
        build = await self.push(name, manifest, branch=branch)
        await self.end(Kind.BUILD, build["id"])
        await self.until("builds", build["id"], "succeeded")
        return build

    async def until(self, table: str, job_id: str, status: str) -> None:
        """Wait until a job has a status."""

        async def has() -> bool:
            found = await self.database.fetchval(f"SELECT status FROM {table} WHERE id = $1", job_id)
            return bool(found == status)

        await eventually(has)

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(await self.database.fetchval(f"SELECT count(*) FROM {table}"))

    async def rows(self, table: str, count: int) -> list[dict[str, Any]]:
        """Wait until a table has so many rows, and return them in the order in which they came."""

        async def there_are() -> bool:
            return await self.count(table) >= count

        await eventually(there_are)
        rows = await self.database.fetch(f"SELECT * FROM {table} ORDER BY inserted_at")
        assert len(rows) == count
        return [dict(row) for row in rows]

    async def told(self, kind: type[Any], *, of: str = "") -> list[Any]:
        """Return all messages of a class, oldest first; those about one job if its id is given."""
        jetstream, stream = self.client.jetstream(), stream_of(kind.SUBJECT)
        state = (await jetstream.stream_info(stream)).state
        messages = [
            await jetstream.get_msg(stream, sequence) for sequence in range(max(state.first_seq, 1), state.last_seq + 1)
        ]
        found = [
            kind.decode(message.data or b"", message.headers or {})
            for message in messages
            if (message.headers or {}).get("ce-type") == kind.TYPE
        ]
        return [each for each in found if not of or each.job_id == of]

    async def request(self, job_id: str) -> JobRequested:
        """Wait for the request of a job, and return it."""

        async def is_there() -> bool:
            return bool(await self.told(JobRequested, of=job_id))

        await eventually(is_there)
        [request] = await self.told(JobRequested, of=job_id)
        assert isinstance(request, JobRequested)
        return request

    async def decision(self, cause: str) -> dict[str, Any]:
        """Wait for the decision about what an event fired, and return it."""
        query = "SELECT * FROM decisions WHERE cause_id = $1 AND subject_kind = 'trigger'"

        async def is_made() -> bool:
            return bool(await self.database.fetch(query, cause))

        await eventually(is_made)
        [row] = await self.database.fetch(query, cause)
        return dict(row)

    async def is_idle(self) -> bool:
        """Return whether nothing that was told is left to do."""
        jetstream = self.client.jetstream()
        for stream in ("EVENTS", "COMMANDS", "JOBS"):
            for info in await jetstream.consumers_info(stream):
                if info.num_pending or info.num_ack_pending:
                    return False
        return True

    async def tell_again(self, message: Message, *, id: str) -> None:
        """Publish a message so late that no stream knows its id any more."""
        envelope = Envelope(id=id, type=message.TYPE, source="test", time=datetime.now(UTC))
        headers = envelope.headers(content_type=message.CONTENT_TYPE) | message.headers
        del headers["Nats-Msg-Id"]
        await self.client.jetstream().publish(message.subject, message.encode(), headers=headers)

    async def ask(self, command: Any, *, id: str = "") -> Answer:
        """Send a command and return the answer. The same id is the same request."""
        inbox = self.client.new_inbox()
        answers = await self.client.subscribe(inbox)
        asked = command.model_copy(update={"reply_to": inbox})
        await (self.tell_again(asked, id=id) if id else self.tell(asked))
        return Answer.model_validate_json((await answers.next_msg(timeout=20)).data)


def place(name: str) -> Repository:
    """Return a repository of acme at GitHub."""
    return Repository(source="github.com", owner="acme", name=name)


QueueOf = Callable[[Database, Publisher], Queue]


@pytest.fixture
def queue_of() -> QueueOf:
    """Return what makes a queue without limits, that tells what it does to a publisher."""

    def make(database: Database, bus: Publisher) -> Queue:
        builds, releases, bots = Builds(database), Releases(database), Bots(database)
        sealer = Sealer(os.urandom(32), GithubClient(GithubSettings()))
        before, memories = Before(builds, releases, bots), Memories(database)
        server = Server(url="", clone_url="https://{source}")
        requests = Requests(builds, before, memories, Usages(database), sealer, bus, server=server)
        jobs = {Kind.BUILD: builds, Kind.RELEASE: releases, Kind.BOT: bots}
        return Queue(Admissions(database, Limits()), jobs, requests, Decisions(database), bus)

    return make


@pytest.fixture
async def scene(nats_server: NatsServer, database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    config = tmp_path / "config.yaml"
    config.write_text("buildControl: {github: {blocked: [acme/blocked]}}")
    settings = Settings(
        config_file=config,
        nats_url=nats_server.url,
        database_url=database_url,
        secret_key=base64.b64encode(os.urandom(32)).decode(),
        clone_url=f"file://{tmp_path}/repositories/{{owner}}/{{name}}.git",
        cache_dir=tmp_path / "cache",
        most_trigger_hops=MOST_HOPS,
    )
    runners = [web.AppRunner(create_app(settings)) for _ in range(2)]
    for runner in runners:
        await runner.setup()
    client = await nats.connect(nats_server.url)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    database = await asyncpg.connect(database_url)
    scene = Scene(client, publisher, database, tmp_path)
    yield scene
    await database.close()
    await client.close()
    for runner in runners:
        await runner.cleanup()
