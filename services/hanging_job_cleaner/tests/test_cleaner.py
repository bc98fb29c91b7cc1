import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import nats
import pytest
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import CleaningAction
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.runtimes import RuntimeUnavailableError
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from hanging_job_cleaner.builds import Builds
from hanging_job_cleaner.cleaner import Cleaner
from hanging_job_cleaner.reconciling import BuildState, Limits
from hanging_job_cleaner.requests import Requests

LIMITS = Limits(grace=1.0, keep_finished=30.0, keep_namespaces=7_000.0)


@pytest.fixture
async def cleaner(scene: Any, nats_server: NatsServer, database_url: str) -> AsyncIterator[Cleaner]:
    database, bus = Database(database_url, connections=2), Bus(nats_server.url, source="test")
    await database.start()
    await bus.start()
    yield Cleaner(Builds(database), scene.runtime, Requests(bus), bus, limits=LIMITS, interval=60.0)
    await bus.stop()
    await database.stop()


async def test_a_build_without_a_job_is_lost_once_and_the_reason_is_told(cleaner: Cleaner, scene: Any) -> None:
    gone = await scene.build("running", dispatched=900, heartbeat=75)
    await scene.build("running", dispatched=900, heartbeat=-60)

    await eventually(lambda: _loses(cleaner, scene))
    for _ in range(3):
        await cleaner.look()

    [(lost, reason)] = (await scene.lost()).items()
    assert lost == gone
    assert reason.startswith("the build is running, there is no job behind it, and nothing was heard of it for 7")


async def test_a_dry_run_tells_each_thing_once_and_mends_nothing(
    scene: Any, nats_server: NatsServer, database_url: str
) -> None:
    gone = await scene.build("running", dispatched=900, heartbeat=75)
    left = await scene.build("canceled", finished=31)
    name = await scene.job(left, "sleep 300")
    database, bus = Database(database_url, connections=2), Bus(nats_server.url, source="test")
    await database.start()
    await bus.start()
    cleaner = Cleaner(Builds(database), scene.runtime, Requests(bus), bus, limits=LIMITS, interval=60.0, dry_run=True)
    await _silence()

    for _ in range(3):
        await cleaner.look()

    await bus.stop()
    await database.stop()
    told = [(event.job_id, event.action, event.dry_run) for event in await scene.events()]
    assert told == [(gone, CleaningAction.LOST, True), (left, CleaningAction.JOB_REMOVED, True)]
    assert await scene.lost() == {}
    assert await scene.jobs() == {name: True}


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.BOT])
async def test_releases_and_bots_are_lost_as_builds_are(cleaner: Cleaner, scene: Any, kind: Kind) -> None:
    gone = await scene.other(kind, heartbeat=75)

    await eventually(lambda: _loses(cleaner, scene))

    [(lost, reason)] = (await scene.lost()).items()
    assert lost == gone
    assert reason.startswith(f"the {kind} is running")


async def test_a_build_whose_builder_died_without_a_word_is_lost(cleaner: Cleaner, scene: Any) -> None:
    gone = await scene.build("running", dispatched=900, heartbeat=75)
    name = await scene.job(gone, "true")
    await eventually(lambda: _is(scene.jobs, {name: False}), within=20)
    await scene.jetstream.purge_stream("JOBS", subject=f"job.build.{gone}.finished")

    await eventually(lambda: _loses(cleaner, scene))
    assert list(await scene.lost()) == [gone]


async def test_a_build_whose_builder_told_its_end_is_left_to_the_planner(cleaner: Cleaner, scene: Any) -> None:
    ended = await scene.build("running", dispatched=900, heartbeat=75)
    name = await scene.job(ended, "true")
    await eventually(lambda: _is(scene.jobs, {name: False}), within=20)

    await _silence()
    await cleaner.look()

    assert await scene.lost() == {}


async def test_a_build_that_the_planner_has_yet_to_request_is_left_alone(cleaner: Cleaner, scene: Any) -> None:
    await scene.build("pending", requested=False)
    await scene.jetstream.publish("event.git.push", b"{}")

    await cleaner.look()

    assert await scene.lost() == {}


async def test_a_build_whose_job_lives_is_left_alone_though_it_is_silent(cleaner: Cleaner, scene: Any) -> None:
    name = await scene.job(await scene.build("running", dispatched=90_000, heartbeat=80_000), "sleep 300")
    await _silence()

    await cleaner.look()

    assert await scene.lost() == {}
    assert await scene.jobs() == {name: True}


async def test_a_pending_build_is_left_alone_until_the_dispatcher_saw_every_request(
    cleaner: Cleaner, scene: Any
) -> None:
    pending = await scene.build("pending")
    await scene.jetstream.publish("job.build.1.requested", b"{}")
    await _silence()

    await cleaner.look()
    assert await scene.lost() == {}

    reader = await scene.jetstream.pull_subscribe_bind(scene.dispatcher, "JOBS")
    [request] = await reader.fetch(1)
    await cleaner.look()
    assert await scene.lost() == {}

    await request.ack_sync()
    await cleaner.look()
    assert list(await scene.lost()) == [pending]


async def test_a_request_handled_during_a_look_makes_no_build_lost(
    scene: Any, nats_server: NatsServer, database_url: str
) -> None:
    pending = await scene.build("pending")
    await scene.jetstream.publish(f"job.build.{pending}.requested", b"{}")
    await _silence()
    reader = await scene.jetstream.pull_subscribe_bind(scene.dispatcher, "JOBS")
    [request] = await reader.fetch(1)

    class DispatcherWakes(Builds):
        """The dispatcher starts the job just when the builds are read."""

        async def active_or_among(self, build_ids: list[str]) -> list[BuildState]:
            await scene.job(pending, "sleep 300")
            await request.ack_sync()
            return await super().active_or_among(build_ids)

    database, bus = Database(database_url, connections=2), Bus(nats_server.url, source="test")
    await database.start()
    await bus.start()
    requests = Requests(bus)
    cleaner = Cleaner(DispatcherWakes(database), scene.runtime, requests, bus, limits=LIMITS, interval=60.0)

    await cleaner.look()

    await bus.stop()
    await database.stop()
    assert await scene.lost() == {}


async def test_the_job_of_a_build_that_ended_is_removed_though_it_still_runs(cleaner: Cleaner, scene: Any) -> None:
    await scene.job(await scene.build("canceled", finished=31), "sleep 300")
    kept = await scene.job(await scene.build("succeeded", finished=1), "sleep 300")

    await cleaner.look()

    assert await scene.jobs() == {kept: True}
    assert await scene.lost() == {}


async def test_a_job_of_no_build_is_left_alone_while_it_is_young(cleaner: Cleaner, scene: Any) -> None:
    name = await scene.job("7", "sleep 300")

    await cleaner.look()

    assert await scene.jobs() == {name: True}


async def test_a_host_that_is_away_makes_no_build_lost(cleaner: Cleaner, scene: Any, host: Any) -> None:
    await scene.build("running", dispatched=900, heartbeat=900)
    host.stop()

    with pytest.raises(RuntimeUnavailableError):
        await cleaner.look()

    assert await scene.lost() == {}


async def test_no_build_is_lost_while_there_is_no_dispatcher_to_ask_about(cleaner: Cleaner, scene: Any) -> None:
    await scene.build("pending")
    await scene.jetstream.delete_consumer("JOBS", scene.dispatcher)

    with pytest.raises(nats.errors.Error):
        await cleaner.look()

    assert await scene.lost() == {}


async def _loses(cleaner: Cleaner, scene: Any) -> bool:
    await cleaner.look()
    return bool(await scene.lost())


async def _silence() -> None:
    """Let the grace pass."""
    clock = asyncio.get_running_loop().time
    end = clock() + LIMITS.grace + 0.1
    await eventually(lambda: clock() > end)


async def _is(look: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await look() == wanted
