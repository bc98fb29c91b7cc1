"""`python -m manifest_planner what-if` on recorded events, with a real NATS and PostgreSQL."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
from estafette_common.bus import identity
from estafette_common.bus.messages.events import GithubEvent, GitPushed
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.topology import declare
from estafette_common.database.pool import Database
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.reading import read
from estafette_local.servers import NatsServer
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.declared import declared

SHOP = Repository(source="github.com", owner="acme", name="shop")
STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
MANIFEST = f"""
version: {{semver: {{major: 1, minor: 4}}}}
{STAGES}
bots: {{tidy: {{triggers: [{{github: {{events: [push]}}}}], {STAGES}}}}}
"""
PUSH = GitPushed(repository=SHOP, ref="refs/heads/main", revision="5" * 40)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "changed.yaml"
    file.write_text(MANIFEST)
    return file


@pytest.fixture
async def publisher(nats_server: NatsServer) -> AsyncIterator[JetStreamPublisher]:
    client = await nats.connect(nats_server.url)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    yield publisher
    await client.close()


async def what_if(manifest: Path, event: str | Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "manifest_planner", "what-if", "--manifest", str(manifest), "--event", str(event),
        *arguments, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


def written(folder: Path, **event: Any) -> Path:
    file = folder / "event.json"
    file.write_text(json.dumps(event))
    return file


async def test_a_delivery_is_looked_at_with_another_manifest(
    manifest: Path, nats_server: NatsServer, publisher: JetStreamPublisher
) -> None:
    payload = json.dumps({"repository": {"full_name": "acme/shop"}}).encode()
    await publisher.publish(GithubEvent(kind="star", payload=b"{}"), id="another")
    await publisher.publish(GithubEvent(kind="push", payload=payload), id="d")
    await publisher.publish(PUSH, id=identity.derive("d", identity.GIT_PUSH))

    code, told, errors = await what_if(manifest, "d", ESTAFETTE_NATS_URL=nats_server.url)

    assert (code, errors) == (0, "")
    assert "github trigger of bot tidy started: push of github.com/acme/shop\n" in told
    assert "push started: push to main\n  build 1.4.1 of main\n" in told


async def test_looking_starts_and_writes_nothing(
    manifest: Path, nats_server: NatsServer, database_url: str, publisher: JetStreamPublisher
) -> None:
    await publisher.publish(PUSH, id="p")

    await what_if(manifest, "p", ESTAFETTE_NATS_URL=nats_server.url, ESTAFETTE_DATABASE_URL=database_url)

    client = await nats.connect(nats_server.url)
    streams = {each.config.name: each.state for each in await client.jetstream().streams_info()}
    await client.close()
    assert {name: state.messages for name, state in streams.items() if state.messages} == {"EVENTS": 1}
    assert streams["EVENTS"].consumer_count == 0
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM pipelines") == 0
    await connection.close()


async def test_numbers_and_versions_are_those_of_the_database(
    manifest: Path, tmp_path: Path, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO pipelines (source, owner, name, last_counter) VALUES ('github.com', 'acme', 'shop', 41)"
    )
    await connection.close()
    file = written(tmp_path, type=GitPushed.TYPE, data=PUSH.model_dump(mode="json"))

    _, told, _ = await what_if(manifest, file, ESTAFETTE_DATABASE_URL=database_url)

    assert "build 1.4.42 of main" in told


async def test_the_database_knows_which_triggers_of_other_pipelines_would_fire(
    manifest: Path, tmp_path: Path, database_url: str
) -> None:
    database = Database(database_url)
    await database.start()
    web = f"{STAGES}\ntriggers: [{{pipeline: {{name: github.com/acme/shop}}, builds: {{branch: main}}}}]"
    place = Repository(source="github.com", owner="acme", name="web")
    new = NewBuild(
        id="1",
        push=PUSH.model_copy(update={"repository": place}),
        branch="main",
        version=str,
        manifest=web,
        declared=declared(read(web), place.pipeline),
    )
    await Builds(database).add(new)
    await database.stop()
    file = written(tmp_path, type=GitPushed.TYPE, data=PUSH.model_dump(mode="json"))

    _, told, _ = await what_if(manifest, file, ESTAFETTE_DATABASE_URL=database_url)

    assert "    pipeline trigger of builds of main of github.com/acme/web fired: " in told


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"type": "estafette.odd.v1", "data": {}}, "of a type that is none of"),
        ({"data": {}}, "the event has no 'type'"),
        ({"type": GitPushed.TYPE, "data": {"ref": 1}}, "the file is no CloudEvent in JSON"),
        ({"type": "estafette.cron.ticked.v1", "data": {"time": "2026-11-20T03:00:00Z"}}, "write --pipeline"),
    ],
)
async def test_what_is_no_event_is_refused(manifest: Path, tmp_path: Path, event: dict[str, Any], words: str) -> None:
    code, told, errors = await what_if(manifest, written(tmp_path, **event))

    assert (code, told) == (2, "")
    assert words in errors


async def test_an_event_that_nothing_waits_for_leads_to_nothing(manifest: Path, tmp_path: Path) -> None:
    file = written(tmp_path, type="estafette.cron.ticked.v1", data={"time": "2026-11-20T03:00:00Z"})

    code, told, _ = await what_if(manifest, file, "--pipeline", "github.com/acme/shop")

    assert code == 0
    assert told.startswith("nothing: it is no push to github.com/acme/shop, and no trigger")


async def test_a_delivery_that_is_not_kept_is_said_to_be_unknown(
    manifest: Path, nats_server: NatsServer, publisher: JetStreamPublisher
) -> None:
    code, _, errors = await what_if(manifest, "never", ESTAFETTE_NATS_URL=nats_server.url)

    assert (code, errors) == (2, f"never is no file, and no event that is kept at {nats_server.url}\n")
