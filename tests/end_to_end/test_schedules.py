"""Schedules from the clock to the builds they start: two cron-senders and two planners, real NATS, PostgreSQL, git.

The senders live by a clock of the test.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import nats
import pytest
from aiohttp import web
from cron_sender.clock import Clock
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import CronTicked, GitPushed
from estafette_common.bus.messages.message import Envelope
from estafette_common.jobs.plan import Repository
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from manifest_planner.app import create_app
from manifest_planner.settings import Settings
from nats.aio.client import Client

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SPRING = datetime(2026, 3, 29, 0, 15, tzinfo=UTC)
"""In Amsterdam it is 03:00 instead of 02:00 in 45 minutes."""
AUTUMN = datetime(2026, 10, 24, 23, 45, tzinfo=UTC)
"""In Amsterdam it is 02:00 in 15 minutes, and again an hour later."""
STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
OUTAGE = timedelta(hours=3)
MINUTE = timedelta(minutes=1)


class Planners:
    """Two planners, which may be away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: list[web.AppRunner] = []

    async def start(self) -> None:
        """Bring both up."""
        self._running = [web.AppRunner(create_app(self._settings)) for _ in range(2)]
        for runner in self._running:
            await runner.setup()

    async def stop(self) -> None:
        """Take both down."""
        for runner in self._running:
            await runner.cleanup()
        self._running = []


class Scene:
    """Two cron-senders that share the test's clock, two planners, and the branches with schedules."""

    def __init__(self, buses: list[Bus], client: Client, database: asyncpg.Connection, root: Path) -> None:
        self.time = NOON
        self._senders = [Clock(bus, catch_up=24 * 60, now=lambda: self.time) for bus in buses]
        self._buses = buses
        self._client = client
        self._database = database
        self._root = root

    async def has(self, name: str, cron: str) -> None:
        """Push a manifest with a schedule."""
        manifest = f"triggers: [{{cron: {{{cron}}}, builds: {{branch: main}}}}]\n{STAGES}"
        repository = GitRepository(self._root / "repositories", "acme", name)
        revision = repository.commit({".estafette.yaml": manifest}, branch="main")
        place = Repository(source="github.com", owner="acme", name=name)
        push = GitPushed(repository=place, ref="refs/heads/main", revision=revision)
        await self._buses[0].publish(push, id=f"push-{name}")

        async def is_known() -> bool:
            return bool(await self._database.fetchval("SELECT 1 FROM triggers WHERE name = $1", name))

        await eventually(is_known)

    async def tick(self) -> None:
        """Let both senders wake at once."""
        await asyncio.gather(*(sender.tell() for sender in self._senders))

    async def pass_by(self, time: timedelta) -> None:
        """Let the senders wake at each minute of a time."""
        for _ in range(time // MINUTE):
            self.time += MINUTE
            await self.tick()

    async def tell_at_their_times(self, time: timedelta) -> None:
        """Tell each minute of a time as a sender does that lives by the test's clock; nothing waits for it."""
        for _ in range(time // MINUTE):
            self.time += MINUTE
            tick = CronTicked(time=self.time)
            envelope = Envelope(id=f"{self.time}", type=tick.TYPE, source="cron-sender", time=self.time)
            headers = envelope.headers(content_type=tick.CONTENT_TYPE)
            await self._client.jetstream().publish(tick.subject, tick.encode(), headers=headers)

    async def fired(self, name: str) -> list[str]:
        """Wait until the planners have nothing left to do; return the minutes for which a pipeline was built."""
        await eventually(self._is_idle, within=60)
        rows = await self._database.fetch(
            "SELECT trigger_events -> 0 -> 'cron' ->> 'time' AS minute FROM builds WHERE name = $1 ORDER BY 1", name
        )
        return [f"{datetime.fromisoformat(row['minute']):%H:%M}" for row in rows if row["minute"]]

    async def passed_over(self, name: str) -> list[str]:
        """Return why a pipeline was not built at minutes that its triggers have."""
        rows = await self._database.fetch(
            "SELECT reason FROM decisions WHERE name = $1 AND subject_kind = 'trigger' AND decision = 'ignored' "
            "ORDER BY reason",
            name,
        )
        return [row["reason"] for row in rows]

    async def _is_idle(self) -> bool:
        for stream in ("EVENTS", "COMMANDS"):
            for info in await self._client.jetstream().consumers_info(stream):
                if info.num_pending or info.num_ack_pending:
                    return False
        return True


@pytest.fixture
async def planners(nats_server: NatsServer, database_url: str, tmp_path: Path) -> AsyncIterator[Planners]:
    settings = Settings(
        nats_url=nats_server.url,
        database_url=database_url,
        secret_key=base64.b64encode(os.urandom(32)).decode(),
        clone_url=f"file://{tmp_path}/repositories/{{owner}}/{{name}}.git",
        cache_dir=tmp_path / "cache",
    )
    planners = Planners(settings)
    await planners.start()
    yield planners
    await planners.stop()


@pytest.fixture
async def scene(nats_server: NatsServer, database_url: str, tmp_path: Path, planners: Planners) -> AsyncIterator[Scene]:
    buses = [Bus(nats_server.url, source="cron-sender") for _ in range(2)]
    for bus in buses:
        await bus.start()
    client = await nats.connect(nats_server.url)
    database = await asyncpg.connect(database_url)
    yield Scene(buses, client, database, tmp_path)
    await database.close()
    await client.close()
    for bus in buses:
        await bus.stop()


async def test_each_schedule_fires_once_at_each_of_its_minutes(scene: Scene) -> None:
    await scene.has("hourly", "schedule: '0 * * * *'")
    await scene.has("nightly", "schedule: '30 13 * * *'")
    await scene.tick()

    await scene.pass_by(timedelta(hours=2))

    assert await scene.fired("hourly") == ["12:00", "13:00", "14:00"]
    assert await scene.fired("nightly") == ["13:30"]


async def test_an_outage_of_three_hours_is_made_up_for_as_each_trigger_says(scene: Scene) -> None:
    for missed in ("all", "once", "none"):
        await scene.has(f"hourly-{missed}", f"schedule: '30 * * * *', missed: {missed}")
        await scene.has(f"daily-{missed}", f"schedule: '15 14 * * *', missed: {missed}")
    await scene.tick()

    scene.time += OUTAGE
    await scene.tick()
    await scene.pass_by(timedelta(minutes=31))

    assert await scene.fired("hourly-all") == ["12:30", "13:30", "14:30", "15:30"]
    assert await scene.fired("hourly-once") == ["14:30", "15:30"]
    assert await scene.fired("hourly-none") == ["15:30"]
    assert await scene.fired("daily-all") == ["14:15"]
    assert await scene.fired("daily-once") == ["14:15"]
    assert await scene.fired("daily-none") == []
    assert await scene.passed_over("hourly-all") == []
    assert await scene.passed_over("hourly-once") == [
        "2026-03-04 12:30+00:00 was missed, and 2026-03-04 13:30 stands for it",
        "2026-03-04 13:30+00:00 was missed, and 2026-03-04 14:30 stands for it",
    ]
    assert await scene.passed_over("daily-none") == ["2026-03-04 14:15+00:00 was missed, and is not made up for"]


@pytest.mark.parametrize(
    ("begin", "fixed"), [pytest.param(SPRING, "01:00", id="forward"), pytest.param(AUTUMN, "00:30", id="back")]
)
@pytest.mark.parametrize("outage", [False, True], ids=["no outage", "an outage of three hours"])
async def test_a_change_of_clocks_neither_loses_nor_doubles_a_time(
    scene: Scene, begin: datetime, fixed: str, outage: bool
) -> None:
    await scene.has("fixed", "schedule: '30 2 * * *', timezone: Europe/Amsterdam, missed: all")
    await scene.has("starred", "schedule: '30 * * * *', timezone: Europe/Amsterdam, missed: all")
    await scene.has("once", "schedule: '30 2 * * *', timezone: Europe/Amsterdam")
    scene.time = begin
    await scene.tick()

    if outage:
        scene.time += OUTAGE
        await scene.tick()
    else:
        await scene.pass_by(OUTAGE)

    assert await scene.fired("fixed") == [fixed]
    assert await scene.fired("once") == [fixed]
    assert await scene.fired("starred") == ["00:30", "01:30", "02:30"]


async def test_minutes_that_were_told_while_the_planners_were_away_are_missed_ones(
    scene: Scene, planners: Planners
) -> None:
    for missed in ("all", "once", "none"):
        await scene.has(missed, f"schedule: '30 * * * *', missed: {missed}")
    await planners.stop()

    await scene.tell_at_their_times(OUTAGE)
    await planners.start()

    assert await scene.fired("all") == ["12:30", "13:30", "14:30"]
    assert await scene.fired("once") == ["14:30"]
    assert await scene.fired("none") == []
