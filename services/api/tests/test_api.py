import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import pytest
from api.steps import fold
from estafette_common.bus.messages.logs import Change, End, Entry, Line, LogChunk
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually

PIPELINE = "/api/pipelines/github.com/acme/shop"


async def test_pipelines_and_builds_are_listed_in_pages(scene: Any) -> None:
    for counter in range(1, 6):
        await scene.build(str(counter), counter=counter, status="succeeded")
    await scene.build("9", name="other")

    pipelines = await scene.person.get("/api/pipelines?sort=name")
    builds = await scene.person.get(f"{PIPELINE}/builds?page[size]=2&page[number]=2&sort=-version")

    assert [each["repoName"] for each in pipelines["items"]] == ["other", "shop"]
    assert [each["id"] for each in builds["items"]] == ["3", "2"]
    assert builds["pagination"] == {"page": 2, "size": 2, "totalPages": 3, "totalItems": 5}


async def test_several_values_of_a_filter_all_count(scene: Any) -> None:
    await scene.build("1", counter=1, status="pending")
    await scene.build("2", counter=2, status="running")
    await scene.build("3", counter=3, status="failed")

    found = await scene.person.get(f"{PIPELINE}/builds?filter[status]=pending&filter[status]=running")

    assert {each["id"] for each in found["items"]} == {"1", "2"}


async def test_a_build_is_found_by_id_and_by_revision_and_shows_no_secret(scene: Any) -> None:
    await scene.build("7", counter=1)

    by_id = await scene.person.get(f"{PIPELINE}/builds/7")
    by_revision = await scene.person.get(f"{PIPELINE}/builds/{1:040x}")

    assert by_id["id"] == by_revision["id"] == "7"
    assert by_id["manifest"] == "env: {A: ***}"
    assert (by_id["buildStatus"], by_id["buildVersion"], by_id["repoBranch"]) == ("running", "1.0.1", "main")


async def test_all_jobs_are_counted_by_state(scene: Any) -> None:
    await scene.build("1", counter=1, status="pending")
    await scene.build("2", counter=2, status="running")
    await scene.build("3", counter=3, status="failed")

    counted = await scene.person.get("/api/status")

    assert {(each["status"], each["reason"], each["count"]) for each in counted["unfinished"]} == {
        ("pending", "dispatch", 1),
        ("running", "", 1),
    }
    assert counted["ended"] == [{"kind": "build", "outcome": "failed", "count": 1}]


async def test_a_pipeline_shows_what_is_typical_of_it_and_who_works_on_it(scene: Any) -> None:
    await scene.build("7", status="succeeded")
    await scene.end()
    now = datetime.now(UTC)
    people = [{"email": "kim@example.com", "at": now}, {"email": "robin@example.com", "at": now - timedelta(days=8)}]
    await scene.database.pool.execute(
        "UPDATE pipelines SET median_pending = 1500, median_duration = 60000000, recent_committers = $1", people
    )
    await scene.database.pool.execute(
        "UPDATE builds SET release_targets = $1, triggers = $2",
        [{"name": "production", "actions": []}],
        [{"cron": {"schedule": "0 3 * * *"}, "builds": {}}],
    )

    shown = await scene.person.get(PIPELINE)

    assert shown["extraInfo"] == {"medianPendingDuration": 1_500_000, "medianDuration": 60_000_000_000}
    assert (shown["recentCommitters"], shown["recentReleasers"]) == (["kim@example.com"], [])
    assert shown["releaseTargets"] == [{"name": "production", "actions": []}]
    assert shown["triggers"] == [{"cron": {"schedule": "0 3 * * *"}, "builds": {}}]
    assert (await scene.person.get("/api/pipelines"))["items"] == [shown]


async def test_releases_and_bots_are_shown_with_how_long_they_waited_and_ran(scene: Any) -> None:
    await scene.build("7")
    at = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    times = (at, at + timedelta(seconds=2), at + timedelta(seconds=62))
    await scene.database.pool.execute(
        """
        INSERT INTO releases (id, source, owner, name, target, action, version, build_id, status, trigger_events, hops,
            inserted_at, started_at, finished_at)
        VALUES ('8', 'github.com', 'acme', 'shop', 'production', 'canary', '1.0.1', '7', 'succeeded', '[]', 0,
            $1, $2, $3)
        """,
        *times,
    )
    await scene.database.pool.execute(
        """
        INSERT INTO bots (id, source, owner, name, bot, build_id, status, trigger_events, hops,
            inserted_at, started_at, finished_at)
        VALUES ('9', 'github.com', 'acme', 'shop', 'tidy', '7', 'failed', '[]', 0, $1, $2, $3)
        """,
        *times,
    )

    for place, job_id, fields in (
        ("releases", "8", {"name": "production", "action": "canary", "releaseStatus": "succeeded"}),
        ("bots", "9", {"name": "tidy", "botStatus": "failed"}),
    ):
        shown = await scene.person.get(f"{PIPELINE}/{place}/{job_id}")
        assert fields.items() <= shown.items()
        assert (shown["pendingDuration"], shown["duration"]) == (2_000_000_000, 60_000_000_000)
        listed = await scene.person.get(f"{PIPELINE}/{place}?filter[branch]=main&sort=-version")
        assert listed["items"] == [shown]
        assert (await scene.person.get(f"{PIPELINE}/{place}?filter[status]=running"))["items"] == []


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/nothing", 404, "Page not found"),
        ("/api/pipelines/github.com/acme/none", 404, "there is no pipeline"),
        (f"{PIPELINE}/builds/none", 404, "there is no build"),
        (f"{PIPELINE}/releases/none", 404, "there is no release"),
        (f"{PIPELINE}/bots/none", 404, "there is no run"),
        ("/api/pipelines?sort=name;drop table builds", 400, "sort"),
        ("/api/pipelines?page[number]=0", 400, "page[number]"),
        ("/api/pipelines?page[size]=x", 400, "page[size]"),
        ("/api/pipelines?filter[status]=odd", 400, "filter[status]"),
        ("/api/pipelines?filter[since]=2d", 400, "filter[since]"),
    ],
)
async def test_what_is_not_understood_is_told_by_name(scene: Any, path: str, status: int, words: str) -> None:
    async with scene.session.get(scene.url + path) as response:
        answer: dict[str, Any] = await response.json()

    assert response.status == status
    assert words in answer["message"]
    assert set(answer) == {"code", "message"}


async def test_a_search_takes_its_text_literally(scene: Any) -> None:
    await scene.build("7")

    assert (await scene.person.get("/api/pipelines?filter[search]=sho"))["items"]
    assert not (await scene.person.get("/api/pipelines?filter[search]=s%25p"))["items"]


async def test_a_stored_log_is_shown_in_steps(scene: Any) -> None:
    await scene.build("7", status="failed")
    await scene.store(scene.chunk(1, "old", first=1))
    await scene.store(scene.chunk(1, "one", "two", first=1, attempt=2))
    await scene.store(scene.chunk(2, "three", first=3, attempt=2, start=3, end="failed"))

    log = await scene.person.get(f"{PIPELINE}/builds/7/logs")

    [step] = log["steps"]
    assert [(line["line"], line["text"]) for line in step["logLines"]] == [(1, "one\n"), (2, "two\n"), (3, "three\n")]


async def test_a_live_log_gives_each_line_once_and_in_order_while_it_is_stored_and_repeated(scene: Any) -> None:
    await scene.build()
    first, second = scene.chunk(1, "1", "2", first=1), scene.chunk(2, "3", first=3, start=3)
    await scene.publish(first)
    await scene.store(first)
    watching = asyncio.ensure_future(scene.watch())
    await scene.publish(second)
    await scene.publish(second)
    await scene.store(second)

    await scene.publish(scene.chunk(3, "4", first=4, start=4, end="succeeded"))
    await scene.end()

    assert scene.texts(await watching) == ["1", "2", "3", "4"]


async def test_a_viewer_goes_on_where_it_was(scene: Any) -> None:
    await scene.build()
    await scene.publish(scene.chunk(1, "1", "2", "3", first=1))
    await scene.publish(scene.chunk(2, "4", first=4, end="succeeded"))
    await scene.end()

    told = await scene.watch(last_id="1-2")

    assert scene.texts(told) == ["3", "4"]
    assert [each.id for each in told] == ["1-3", "1-4"]


async def test_a_finished_build_is_streamed_from_the_database_alone(scene: Any) -> None:
    await scene.build(status="succeeded")
    await scene.store(scene.chunk(1, "1", "2", first=1, end="succeeded"))

    assert scene.texts(await scene.watch()) == ["1", "2"]


async def test_a_new_attempt_follows_and_what_the_control_plane_says_comes_last(scene: Any) -> None:
    await scene.build()
    await scene.publish(scene.chunk(1, "first try", first=1))
    watching = asyncio.ensure_future(scene.watch())
    await scene.publish(scene.chunk(1, "second try", first=1, attempt=2))
    await scene.publish(scene.chunk(1, "lost", first=1, attempt=0, end="lost"))
    await scene.end("failed")

    assert scene.texts(await watching) == ["first try", "second try", "lost"]


async def test_many_viewers_see_the_same_through_one_consumer(scene: Any, nats_server: NatsServer) -> None:
    await scene.build()
    watching = [asyncio.ensure_future(scene.watch()) for _ in range(5)]
    await scene.publish(scene.chunk(1, "1", first=1))
    client = await nats.connect(nats_server.url)

    await eventually(lambda: _consumers(client.jetstream(), 1))
    await scene.publish(scene.chunk(2, "2", first=2, end="succeeded"))
    await scene.end()

    assert [scene.texts(told) for told in await asyncio.gather(*watching)] == [["1", "2"]] * 5
    await client.close()


async def _consumers(jetstream: nats.js.JetStreamContext, count: int) -> bool:
    return (await jetstream.stream_info("LOGS")).state.consumer_count == count


async def test_a_restart_of_nats_in_mid_stream_loses_no_line(scene: Any, nats_server: NatsServer) -> None:
    await scene.build()
    await scene.publish(scene.chunk(1, "1", first=1))
    watching = asyncio.ensure_future(scene.watch())
    await eventually(lambda: _watched(scene))
    nats_server.stop()
    nats_server.start()

    await eventually(lambda: _published(scene, scene.chunk(2, "2", first=2, end="succeeded")), within=15)
    await scene.end()

    async with asyncio.timeout(20):
        assert scene.texts(await watching) == ["1", "2"]


async def _watched(scene: Any) -> bool:
    return bool(await scene.database.pool.fetchval("SELECT true"))


async def _published(scene: Any, published: LogChunk) -> bool:
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
