import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import nats
import pytest
from cron_sender.clock import Clock
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import CronTicked
from estafette_common.bus.publishing import JetStreamPublisher, NotNextError, NotStoredError
from estafette_common.bus.topology import declare
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from nats.js import JetStreamContext

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


class Replicas:
    """Three clocks of one service, driven by one time."""

    def __init__(self, buses: list[Bus], catch_up: int = 180) -> None:
        self.time = NOON
        self._buses = buses
        self.clocks = [Clock(bus, catch_up=catch_up, now=lambda: self.time) for bus in buses]

    async def tell(self) -> None:
        """Let all of them wake at once."""
        await asyncio.gather(*(clock.tell() for clock in self.clocks))

    def restarted(self, catch_up: int = 180) -> "Replicas":
        """Return clocks without any memory, at the same time."""
        fresh = Replicas(self._buses, catch_up)
        fresh.time = self.time
        return fresh


@pytest.fixture
async def replicas(nats_server: NatsServer) -> AsyncIterator[Replicas]:
    buses = [Bus(nats_server.url, source="cron-sender") for _ in range(3)]
    for bus in buses:
        await bus.start()
    yield Replicas(buses)
    for bus in buses:
        await bus.stop()


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_server.url, max_reconnect_attempts=-1)
    await declare(client.jetstream(), [])
    yield client.jetstream()
    await client.close()


async def ticks(jetstream: JetStreamContext) -> list[CronTicked]:
    """Return every tick in the stream, in its order."""
    state = (await jetstream.stream_info("EVENTS")).state
    messages = [await jetstream.get_msg("EVENTS", number) for number in range(1, state.last_seq + 1)]
    return [CronTicked.decode(message.data or b"", {}) for message in messages]


async def told(jetstream: JetStreamContext) -> list[datetime]:
    """Return every minute in the stream, in its order."""
    return [tick.time for tick in await ticks(jetstream)]


def minutes(first: int, last: int) -> list[datetime]:
    return [NOON + timedelta(minutes=number) for number in range(first, last + 1)]


async def test_three_replicas_tell_each_minute_once_and_in_order(
    replicas: Replicas, jetstream: JetStreamContext
) -> None:
    for minute in minutes(0, 40):
        replicas.time = minute
        await replicas.tell()

    assert await told(jetstream) == minutes(0, 40)


async def test_replicas_that_wake_together_after_an_outage_tell_each_missed_minute_once(
    replicas: Replicas, jetstream: JetStreamContext
) -> None:
    await replicas.tell()
    replicas.time = NOON + timedelta(minutes=45, seconds=10)

    await replicas.tell()
    await replicas.tell()

    assert await told(jetstream) == minutes(0, 45)


async def test_a_missed_minute_says_how_late_it_is(replicas: Replicas, jetstream: JetStreamContext) -> None:
    await replicas.tell()
    replicas.time = NOON + timedelta(minutes=3, seconds=10)

    await replicas.tell()

    assert [tick.late for tick in await ticks(jetstream)] == [0, 2, 1, 0]


async def test_a_restart_within_a_minute_tells_nothing_twice(replicas: Replicas, jetstream: JetStreamContext) -> None:
    await replicas.tell()
    replicas.time += timedelta(seconds=40)

    await replicas.restarted().tell()

    assert await told(jetstream) == minutes(0, 0)


async def test_an_outage_longer_than_the_bound_is_caught_up_from_the_bound(
    replicas: Replicas, jetstream: JetStreamContext
) -> None:
    await replicas.tell()
    replicas.time = NOON + timedelta(minutes=500)

    await replicas.restarted(catch_up=5).clocks[0].tell()

    assert await told(jetstream) == [NOON, *minutes(495, 500)]


async def test_a_replica_whose_clock_is_behind_tells_nothing(replicas: Replicas, jetstream: JetStreamContext) -> None:
    replicas.time = NOON + timedelta(minutes=3)
    await replicas.tell()
    replicas.time = NOON

    await replicas.tell()

    assert await told(jetstream) == minutes(3, 3)


async def test_no_tick_is_stored_after_another_one_than_the_sender_saw(
    nats_server: NatsServer, jetstream: JetStreamContext
) -> None:
    client = await nats.connect(nats_server.url)
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    await publisher.publish(CronTicked(time=NOON), id="first", after=0)

    for seen in (0, 7):
        with pytest.raises(NotNextError):
            await publisher.publish(CronTicked(time=NOON), id=f"late-{seen}", after=seen)
    await publisher.publish(CronTicked(time=NOON), id="second", after=1)

    assert (await jetstream.stream_info("EVENTS")).state.messages == 2
    await client.close()


class SleepyBus(Bus):
    """The bus of a replica whose machine sleeps right after the first minute that it told."""

    def __init__(self, url: str, sleep: Callable[[], Awaitable[None]]) -> None:
        super().__init__(url, source="cron-sender")
        self._sleep: Callable[[], Awaitable[None]] | None = sleep

    async def publish(self, message: Any, *, id: str, after: int | None = None) -> None:
        await super().publish(message, id=id, after=after)
        sleep, self._sleep = self._sleep, None
        if sleep is not None:
            await sleep()


async def test_a_replica_that_slept_in_the_middle_of_catching_up_neither_doubles_nor_misorders(
    replicas: Replicas, nats_server: NatsServer, jetstream: JetStreamContext
) -> None:
    await replicas.tell()
    config = (await jetstream.stream_info("EVENTS")).config
    await jetstream.update_stream(config.evolve(duplicate_window=0.1))
    replicas.time += timedelta(minutes=4)

    async def others_go_on() -> None:
        await replicas.tell()
        awake = asyncio.get_running_loop().time() + 0.5  # longer than the stream remembers ids
        await eventually(lambda: asyncio.get_running_loop().time() > awake)

    bus = SleepyBus(nats_server.url, others_go_on)
    await bus.start()
    await jetstream.update_stream(config.evolve(duplicate_window=0.1))
    await Clock(bus, catch_up=180, now=lambda: replicas.time).tell()
    await bus.stop()

    assert await told(jetstream) == minutes(0, 4)


async def test_a_minute_that_begins_while_another_is_told_is_told_as_well(
    nats_server: NatsServer, jetstream: JetStreamContext
) -> None:
    times = iter([NOON, *([NOON + timedelta(seconds=60.01)] * 20)])
    bus = Bus(nats_server.url, source="cron-sender")
    await bus.start()
    clock = Clock(bus, catch_up=180, now=lambda: next(times))

    await clock.start()

    await eventually(lambda: _are(told(jetstream), minutes(0, 1)), within=5)
    await clock.stop()
    await bus.stop()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_minutes_that_passed_while_nats_was_away_are_told_when_it_is_back(
    replicas: Replicas, nats_server: NatsServer, jetstream: JetStreamContext, how: signal.Signals
) -> None:
    await replicas.tell()

    nats_server.stop(how)
    replicas.time += timedelta(minutes=2)
    with pytest.raises((NotStoredError, nats.errors.Error, TimeoutError)):
        await replicas.clocks[0].tell()
    nats_server.start()
    await eventually(lambda: _done(replicas.tell), within=20)

    assert await eventually(lambda: told(jetstream)) == minutes(0, 2)


async def test_a_process_that_is_killed_and_started_again_tells_its_minute_once(
    nats_server: NatsServer, jetstream: JetStreamContext
) -> None:
    # The process lives by the real clock: whatever minutes pass during the test must follow each other.
    with _process(nats_server) as first:
        await eventually(lambda: told(jetstream), within=20)
        first.kill()
        first.wait()
    with _process(nats_server) as second:
        await eventually(lambda: _is_ready(second), within=20)

        ticks = await told(jetstream)
        assert ticks == [ticks[0] + timedelta(minutes=number) for number in range(len(ticks))]
        assert datetime.now(UTC) - ticks[-1] < timedelta(minutes=2)


async def test_sigterm_ends_the_process_cleanly(nats_server: NatsServer, jetstream: JetStreamContext) -> None:
    with _process(nats_server) as process:
        await eventually(lambda: told(jetstream), within=20)
        process.send_signal(signal.SIGTERM)

        await eventually(lambda: process.poll() is not None)
        assert process.returncode == 0


class Running(subprocess.Popen[bytes]):
    """The service as a process."""

    port: int


@contextmanager
def _process(nats_server: NatsServer) -> Iterator[Running]:
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
    environment = {**inherited, "ESTAFETTE_NATS_URL": nats_server.url, "ESTAFETTE_PORT": str(port)}
    command = [sys.executable, "-P", "-m", "cron_sender"]
    process = Running(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.port = port
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _is_ready(process: Running) -> bool:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{process.port}/readiness") as answer:
        return answer.status == 200


async def _are(look: Awaitable[list[datetime]], wanted: list[datetime]) -> bool:
    return await look == wanted


async def _done(act: Callable[[], Awaitable[object]]) -> bool:
    await act()
    return True
