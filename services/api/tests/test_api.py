import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import nats
import pytest
from aiohttp import web
from api.app import create_app
from api.settings import Settings
from api.steps import fold
from estafette_common.bus.messages.logs import Change, End, Entry, Line, LogChunk
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.topology import declare
from estafette_common.database.pool import Database
from estafette_local.people import Person, Told
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually

BUILD = {"id": "7", "repoSource": "github.com", "repoOwner": "acme", "repoName": "shop"}
PIPELINE = "/api/pipelines/github.com/acme/shop"


class Scene:
    """The real application with what planner, builder and log-sink would have made."""

    def __init__(
        self, url: str, database: Database, publisher: JetStreamPublisher, session: aiohttp.ClientSession
    ) -> None:
        self.url = url
        self.database = database
        self.person = Person(session, ingress="", api=url)
        self.session = session
        self._publisher = publisher

    async def build(
        self, build_id: str = "7", *, status: str = "running", name: str = "shop", counter: int = 1
    ) -> None:
        await self.database.pool.execute(
            """
            INSERT INTO builds (id, source, owner, name, branch, revision, counter, version, status, labels, manifest,
                commits, trigger_events, started_at)
            VALUES ($1, 'github.com', 'acme', $2, 'main', $3, $4, $5, $6, '[]', $7, '[]', '[]', now())
            """,
            build_id, name, f"{counter:040x}", counter, f"1.0.{counter}", status, "env: {A: estafette.secret(abc.def)}",
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

    async def publish(self, chunk: LogChunk) -> None:
        await self._publisher.publish(chunk, id=chunk.id)

    async def store(self, chunk: LogChunk) -> None:
        await self.database.pool.execute(
            "INSERT INTO log_chunks VALUES ($1, $2, $3, $3, 'build', $4, $5, $6, $7, now())",
            chunk.job_id, chunk.attempt, chunk.number, chunk.first, len(chunk.entries),
            isinstance(chunk.entries[-1], End), chunk.encode(),
        )  # fmt: skip

    async def watch(self, *, last_id: str = "") -> list[Told]:
        return [told async for told in self.person.watch(BUILD, last_id=last_id) if told.event == "log"]


def chunk(number: int, *texts: str, first: int, attempt: int = 1, end: str = "", start: int = 1) -> LogChunk:
    entries: list[Entry] = [Line(stage="test", number=start + n, time="t", text=text) for n, text in enumerate(texts)]
    if end:
        entries.append(End(outcome=end))
    return LogChunk(kind="build", job_id="7", attempt=attempt, number=number, first=first, entries=entries)


def texts(told: list[Told]) -> list[str]:
    return [each.data["logLine"]["text"].rstrip("\n") for each in told]


@pytest.fixture
async def scene(nats_server: NatsServer, database_url: str) -> AsyncIterator[Scene]:
    port = free_port()
    runner = web.AppRunner(create_app(Settings(nats_url=nats_server.url, database_url=database_url, port=port)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    database = Database(database_url)
    await database.start()
    client = await nats.connect(nats_server.url, max_reconnect_attempts=-1)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    async with aiohttp.ClientSession() as session:
        scene = Scene(f"http://127.0.0.1:{port}", database, publisher, session)
        await eventually(lambda: _ready(scene))
        yield scene
    await client.close()
    await database.stop()
    await runner.cleanup()


async def _ready(scene: Scene) -> bool:
    async with scene.session.get(f"{scene.url}/readiness") as response:
        return response.status == 200


async def test_pipelines_and_builds_are_listed_in_pages(scene: Scene) -> None:
    for counter in range(1, 6):
        await scene.build(str(counter), counter=counter, status="succeeded")
    await scene.build("9", name="other")

    pipelines = await scene.person.get("/api/pipelines?sort=name")
    builds = await scene.person.get(f"{PIPELINE}/builds?page[size]=2&page[number]=2&sort=-version")

    assert [each["repoName"] for each in pipelines["items"]] == ["other", "shop"]
    assert [each["id"] for each in builds["items"]] == ["3", "2"]
    assert builds["pagination"] == {"page": 2, "size": 2, "totalPages": 3, "totalItems": 5}


async def test_several_values_of_a_filter_all_count(scene: Scene) -> None:
    await scene.build("1", counter=1, status="pending")
    await scene.build("2", counter=2, status="running")
    await scene.build("3", counter=3, status="failed")

    found = await scene.person.get(f"{PIPELINE}/builds?filter[status]=pending&filter[status]=running")

    assert {each["id"] for each in found["items"]} == {"1", "2"}


async def test_a_build_is_found_by_id_and_by_revision_and_shows_no_secret(scene: Scene) -> None:
    await scene.build("7", counter=1)

    by_id = await scene.person.get(f"{PIPELINE}/builds/7")
    by_revision = await scene.person.get(f"{PIPELINE}/builds/{1:040x}")

    assert by_id["id"] == by_revision["id"] == "7"
    assert by_id["manifest"] == "env: {A: ***}"
    assert (by_id["buildStatus"], by_id["buildVersion"], by_id["repoBranch"]) == ("running", "1.0.1", "main")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/nothing", 404, "Page not found"),
        ("/api/pipelines/github.com/acme/none", 404, "there is no pipeline"),
        (f"{PIPELINE}/builds/none", 404, "there is no build"),
        ("/api/pipelines?sort=name;drop table builds", 400, "sort"),
        ("/api/pipelines?page[number]=0", 400, "page[number]"),
        ("/api/pipelines?page[size]=x", 400, "page[size]"),
        ("/api/pipelines?filter[status]=odd", 400, "filter[status]"),
        ("/api/pipelines?filter[since]=2d", 400, "filter[since]"),
    ],
)
async def test_what_is_not_understood_is_told_by_name(scene: Scene, path: str, status: int, words: str) -> None:
    async with scene.session.get(scene.url + path) as response:
        answer: dict[str, Any] = await response.json()

    assert response.status == status
    assert words in answer["message"]
    assert set(answer) == {"code", "message"}


async def test_a_search_takes_its_text_literally(scene: Scene) -> None:
    await scene.build("7")

    assert (await scene.person.get("/api/pipelines?filter[search]=sho"))["items"]
    assert not (await scene.person.get("/api/pipelines?filter[search]=s%25p"))["items"]


async def test_a_stored_log_is_shown_in_steps(scene: Scene) -> None:
    await scene.build("7", status="failed")
    await scene.store(chunk(1, "old", first=1))
    await scene.store(chunk(1, "one", "two", first=1, attempt=2))
    await scene.store(chunk(2, "three", first=3, attempt=2, start=3, end="failed"))

    log = await scene.person.get(f"{PIPELINE}/builds/7/logs")

    [step] = log["steps"]
    assert [(line["line"], line["text"]) for line in step["logLines"]] == [(1, "one\n"), (2, "two\n"), (3, "three\n")]


async def test_a_live_log_gives_each_line_once_and_in_order_while_it_is_stored_and_repeated(scene: Scene) -> None:
    await scene.build()
    first, second = chunk(1, "1", "2", first=1), chunk(2, "3", first=3, start=3)
    await scene.publish(first)
    await scene.store(first)
    watching = asyncio.ensure_future(scene.watch())
    await scene.publish(second)
    await scene.publish(second)
    await scene.store(second)

    await scene.publish(chunk(3, "4", first=4, start=4, end="succeeded"))
    await scene.end()

    assert texts(await watching) == ["1", "2", "3", "4"]


async def test_a_viewer_goes_on_where_it_was(scene: Scene) -> None:
    await scene.build()
    await scene.publish(chunk(1, "1", "2", "3", first=1))
    await scene.publish(chunk(2, "4", first=4, end="succeeded"))
    await scene.end()

    told = await scene.watch(last_id="1-2")

    assert texts(told) == ["3", "4"]
    assert [each.id for each in told] == ["1-3", "1-4"]


async def test_a_finished_build_is_streamed_from_the_database_alone(scene: Scene) -> None:
    await scene.build(status="succeeded")
    await scene.store(chunk(1, "1", "2", first=1, end="succeeded"))

    assert texts(await scene.watch()) == ["1", "2"]


async def test_a_new_attempt_follows_and_what_the_control_plane_says_comes_last(scene: Scene) -> None:
    await scene.build()
    await scene.publish(chunk(1, "first try", first=1))
    watching = asyncio.ensure_future(scene.watch())
    await scene.publish(chunk(1, "second try", first=1, attempt=2))
    await scene.publish(chunk(1, "lost", first=1, attempt=0, end="lost"))
    await scene.end("failed")

    assert texts(await watching) == ["first try", "second try", "lost"]


async def test_many_viewers_see_the_same_through_one_consumer(scene: Scene, nats_server: NatsServer) -> None:
    await scene.build()
    watching = [asyncio.ensure_future(scene.watch()) for _ in range(5)]
    await scene.publish(chunk(1, "1", first=1))
    client = await nats.connect(nats_server.url)

    await eventually(lambda: _consumers(client.jetstream(), 1))
    await scene.publish(chunk(2, "2", first=2, end="succeeded"))
    await scene.end()

    assert [texts(told) for told in await asyncio.gather(*watching)] == [["1", "2"]] * 5
    await client.close()


async def _consumers(jetstream: nats.js.JetStreamContext, count: int) -> bool:
    return (await jetstream.stream_info("LOGS")).state.consumer_count == count


async def test_a_restart_of_nats_in_mid_stream_loses_no_line(scene: Scene, nats_server: NatsServer) -> None:
    await scene.build()
    await scene.publish(chunk(1, "1", first=1))
    watching = asyncio.ensure_future(scene.watch())
    await eventually(lambda: _watched(scene))
    nats_server.stop()
    nats_server.start()

    await eventually(lambda: _published(scene, chunk(2, "2", first=2, end="succeeded")), within=15)
    await scene.end()

    async with asyncio.timeout(20):
        assert texts(await watching) == ["1", "2"]


async def _watched(scene: Scene) -> bool:
    return bool(await scene.database.pool.fetchval("SELECT true"))


async def _published(scene: Scene, published: LogChunk) -> bool:
    await scene.publish(published)
    return True


def test_entries_are_folded_into_steps() -> None:
    entries: list[Entry] = [
        Change(stage="build", status="RUNNING", time="t"),
        Line(stage="build", number=1, time="t", text="hello"),
        Line(stage="db", number=1, time="t", text="up", parent="build", service=True),
        Change(stage="build", status="FAILED", time="t", duration=5, exit_code=2),
        End(outcome="failed"),
    ]

    [step] = fold(entries)

    assert (step["status"], step["duration"], step["exitCode"]) == ("FAILED", 5, 2)
    assert [service["step"] for service in step["services"]] == ["db"]
