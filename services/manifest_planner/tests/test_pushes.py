"""What pushes lead to, through real NATS, PostgreSQL and git, with two replicas of the planner."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
from aiohttp import web
from estafette_common.bus.messages.events import Commit, DecisionMade, GitPushed, Person, PipelineChanged
from estafette_common.bus.messages.jobs import JobDispatched, JobRequested
from estafette_common.bus.messages.logs import Change, End, Line, LogChunk
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.subjects import stream_of
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Repository
from estafette_common.manifest import secrets
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from manifest_planner.app import create_app
from manifest_planner.settings import Settings
from nats.aio.client import Client

MANIFEST = """
version: {semver: {major: 1, minor: 0}}
labels: {app: shop}
stages:
  test: {image: "golang:1.22", commands: [go test ./...]}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is told to the planner, and what it tells and stores."""

    client: Client
    publisher: JetStreamPublisher
    database: asyncpg.Connection
    secret_key: bytes

    async def push(self, repository: GitRepository, revision: str, *, delivery: str = "1", **changes: Any) -> None:
        """Tell of a push to main and wait until it is handled."""
        await self.publisher.publish(pushed(repository, revision, **changes), id=delivery)
        await eventually(self.is_idle)

    async def is_idle(self) -> bool:
        """Return whether nothing that was told is left to do."""
        for stream, consumer in (("EVENTS", "planner-git-push"), ("JOBS", "planner-job-dispatched")):
            info = await self.client.jetstream().consumer_info(stream, consumer)
            if info.num_pending or info.num_ack_pending:
                return False
        return True

    async def rows(self, table: str) -> list[asyncpg.Record]:
        """Return all rows of a table."""
        return await self.database.fetch(f"SELECT * FROM {table}")

    async def told(self, kind: type[Any]) -> list[Any]:
        """Return all messages of a class, oldest first."""
        jetstream, stream = self.client.jetstream(), stream_of(kind.SUBJECT)
        state = (await jetstream.stream_info(stream)).state
        messages = [
            await jetstream.get_msg(stream, sequence) for sequence in range(max(state.first_seq, 1), state.last_seq + 1)
        ]
        return [
            kind.decode(message.data or b"", message.headers or {})
            for message in messages
            if (message.headers or {}).get("ce-type") == kind.TYPE
        ]


def pushed(repository: GitRepository, revision: str, **changes: Any) -> GitPushed:
    """Return a push to main."""
    place = Repository(source="github.com", owner=repository.owner, name=repository.name)
    return GitPushed(**{"repository": place, "ref": "refs/heads/main", "revision": revision, **changes})


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return GitRepository(tmp_path / "repositories", "acme", "shop")


@pytest.fixture
async def scene(nats_server: NatsServer, database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    secret_key = os.urandom(32)
    settings = Settings(
        nats_url=nats_server.url,
        database_url=database_url,
        secret_key=base64.b64encode(secret_key).decode(),
        clone_url=f"file://{tmp_path}/repositories/{{owner}}/{{name}}.git",
        cache_dir=tmp_path / "cache",
        server_url="http://ci",
    )
    runners = [web.AppRunner(create_app(settings)) for _ in range(2)]
    for runner in runners:
        await runner.setup()
    client = await nats.connect(nats_server.url)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    database = await asyncpg.connect(database_url)
    scene = Scene(client=client, publisher=publisher, database=database, secret_key=secret_key)
    await eventually(scene.is_idle)
    yield scene
    await database.close()
    await client.close()
    for runner in runners:
        await runner.cleanup()


async def test_a_push_gives_one_build_one_number_and_one_request(scene: Scene, repository: GitRepository) -> None:
    revision = repository.commit({".estafette.yaml": MANIFEST})
    commit = Commit(message="Add a shop", author=Person(name="Robin", email="robin@example.com", username="robin"))

    await scene.push(repository, revision, commits=(commit,), installation=7)

    [build] = await scene.rows("builds")
    [request] = await scene.told(JobRequested)
    assert (build["version"], build["counter"], build["status"]) == ("1.0.1", 1, "pending")
    assert (request.job_id, request.plan.version.version) == (build["id"], "1.0.1")
    assert (request.plan.revision, request.plan.server_url) == (revision, "http://ci")
    [pipeline] = await scene.rows("pipelines")
    assert (pipeline["last_counter"], pipeline["last_build_id"]) == (1, build["id"])
    [change] = await scene.told(PipelineChanged)
    assert (change.event, change.build_id, change.installation) == ("started", build["id"], 7)
    [decision] = await scene.told(DecisionMade)
    assert (decision.decision, decision.job_id) == ("started", build["id"])


async def test_the_row_has_what_the_api_shows(scene: Scene, repository: GitRepository) -> None:
    revision = repository.commit({".estafette.yaml": MANIFEST})
    commit = Commit(message="Add a shop", author=Person(name="Robin", email="robin@example.com", username="robin"))

    await scene.push(repository, revision, commits=(commit,))

    build = await scene.database.fetchrow(
        "SELECT labels::text, commits::text, trigger_events::text, manifest FROM builds"
    )
    assert build is not None
    read = {name: json.loads(build[name]) for name in ("labels", "commits", "trigger_events")}
    assert read["labels"] == [{"key": "app", "value": "shop"}]
    [shown] = read["commits"]
    assert shown == {
        "message": "Add a shop",
        "author": {"name": "Robin", "email": "robin@example.com", "username": "robin"},
    }
    fired = {"event": "push", "repository": "github.com/acme/shop", "branch": "main"}
    assert read["trigger_events"] == [{"fired": True, "git": fired}]
    assert build["manifest"] == MANIFEST


async def test_a_delivery_that_comes_five_times_at_once_gives_one_build(
    scene: Scene, repository: GitRepository
) -> None:
    """The stream forgets the id in between, so all five reach the planner."""
    revision = repository.commit({".estafette.yaml": MANIFEST})
    message = pushed(repository, revision)
    raw = scene.client.jetstream()
    headers = {"ce-id": "1", "ce-type": GitPushed.TYPE}

    await asyncio.gather(*(raw.publish("event.git.push", message.encode(), headers=headers) for _ in range(5)))
    await eventually(scene.is_idle)

    assert len(await scene.rows("builds")) == 1
    assert len(await scene.told(JobRequested)) == 1
    assert [row["last_counter"] for row in await scene.rows("pipelines")] == [1]


async def test_numbers_have_no_gap_when_many_deliveries_come_twice_at_once(
    scene: Scene, repository: GitRepository
) -> None:
    revision = repository.commit({".estafette.yaml": MANIFEST})
    message = pushed(repository, revision)
    raw = scene.client.jetstream()

    await asyncio.gather(
        *(
            raw.publish("event.git.push", message.encode(), headers={"ce-id": f"{number}", "ce-type": GitPushed.TYPE})
            for number in [*range(12), *range(12)]
        )
    )
    await eventually(scene.is_idle, within=20)

    assert sorted(row["counter"] for row in await scene.rows("builds")) == list(range(1, 13))


async def test_a_build_that_was_dispatched_is_not_requested_again(scene: Scene, repository: GitRepository) -> None:
    revision = repository.commit({".estafette.yaml": MANIFEST})
    await scene.push(repository, revision)
    [build] = await scene.rows("builds")
    dispatched = JobDispatched(kind=Kind.BUILD, job_id=build["id"], runtime="local", name="build-1")
    await scene.publisher.publish(dispatched, id="dispatched")
    await eventually(scene.is_idle)
    await scene.client.jetstream().purge_stream("JOBS")  # nor does the stream know the request's id any more
    raw = scene.client.jetstream()

    await raw.publish(
        "event.git.push", pushed(repository, revision).encode(), headers={"ce-id": "1", "ce-type": GitPushed.TYPE}
    )
    await eventually(scene.is_idle)

    assert await scene.told(JobRequested) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ref": "refs/tags/1.0"}, "tag"),
        ({"deleted": True, "revision": "0" * 40}, "deleted"),
        ({}, "there is no .estafette.yaml"),
    ],
)
async def test_a_push_that_leads_to_nothing_is_recorded_with_its_reason(
    scene: Scene, repository: GitRepository, changes: dict[str, Any], reason: str
) -> None:
    revision = repository.commit({"README.md": "a shop"})

    await scene.push(repository, **{"revision": revision, **changes})

    assert await scene.rows("builds") == []
    [row] = await scene.rows("decisions")
    assert (row["decision"], row["cause_id"]) == ("ignored", "1")
    assert reason in row["reason"]
    [told] = await scene.told(DecisionMade)
    assert told.reason == row["reason"]


async def test_an_invalid_manifest_is_a_failed_build_whose_log_names_the_line(
    scene: Scene, repository: GitRepository
) -> None:
    revision = repository.commit({".estafette.yaml": "stages:\n  build:\n    commands: [make]\n"})

    await scene.push(repository, revision)

    [build] = await scene.rows("builds")
    assert (build["status"], build["outcome"], build["version"]) == ("failed", "rejected", "1")
    [chunk] = await scene.told(LogChunk)
    [line, change, end] = chunk.entries
    assert isinstance(line, Line)
    assert (line.stage, line.stream) == ("validate-manifest", "stderr")
    assert line.text.startswith(".estafette.yaml:2:3: stages.build.image: missing")
    assert isinstance(change, Change)
    assert (change.stage, change.status, change.exit_code) == ("validate-manifest", "FAILED", 1)
    assert end == End(outcome="rejected")
    assert [(each.event, each.outcome) for each in await scene.told(PipelineChanged)] == [
        ("started", None),
        ("finished", "rejected"),
    ]
    assert await scene.told(JobRequested) == []


async def test_secrets_are_sealed_anew_with_a_key_of_the_job(scene: Scene, repository: GitRepository) -> None:
    envelope = secrets.encrypt("hunter2", key=scene.secret_key)
    revision = repository.commit({".estafette.yaml": f"env: {{A: '{envelope}'}}\n{MANIFEST}"})

    await scene.push(repository, revision)

    [request] = await scene.told(JobRequested)
    assert request.plan.env["A"] != envelope
    assert "hunter2" not in request.model_dump_json()
    job_key = secrets.unseal_key(request.sealed_key, secret_key=scene.secret_key, job_id=request.job_id)
    opened = secrets.decrypt_all(request.plan.env["A"], key=job_key, pipeline="github.com/acme/shop")
    assert opened == "hunter2"


async def test_a_secret_that_cannot_be_opened_is_a_failed_build(scene: Scene, repository: GitRepository) -> None:
    envelope = secrets.encrypt("hunter2", key=os.urandom(32))
    revision = repository.commit({".estafette.yaml": f"env: {{A: '{envelope}'}}\n{MANIFEST}"})

    await scene.push(repository, revision)

    [build] = await scene.rows("builds")
    assert (build["status"], build["outcome"]) == ("failed", "rejected")
    [chunk] = await scene.told(LogChunk)
    assert chunk.entries[0].stage == "validate-secrets"


async def test_a_secret_that_cannot_be_opened_is_named_by_its_line(scene: Scene, repository: GitRepository) -> None:
    envelope = secrets.encrypt("hunter2", key=os.urandom(32))
    revision = repository.commit({".estafette.yaml": f"env:\n  A: '{envelope}'\n{MANIFEST}"})

    await scene.push(repository, revision)

    [chunk] = await scene.told(LogChunk)
    assert chunk.entries[0].text.startswith(".estafette.yaml:2:")


async def test_a_revision_that_cannot_be_fetched_is_not_taken_for_one_without_a_manifest(
    scene: Scene, repository: GitRepository
) -> None:
    repository.commit({".estafette.yaml": MANIFEST})

    await scene.publisher.publish(pushed(repository, "d" * 40), id="1")
    consumer = "planner-git-push"

    async def is_settled_or_repeated() -> bool:
        info = await scene.client.jetstream().consumer_info("EVENTS", consumer)
        return bool(info.num_redelivered) or bool(await scene.rows("decisions"))

    await eventually(is_settled_or_repeated)
    assert await scene.rows("decisions") == []


async def test_who_committed_is_known_of_the_pipeline(scene: Scene, repository: GitRepository) -> None:
    author = Person(name="Kim", email="kim@example.com")
    revision = repository.commit({".estafette.yaml": MANIFEST})

    await scene.push(repository, revision, commits=(Commit(message="more", author=author),))

    async def is_known() -> bool:
        return "kim@example.com" in (await scene.rows("pipelines"))[0]["recent_committers"]

    await eventually(is_known, within=20)
