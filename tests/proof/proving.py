"""One proof: the whole stack, fed and hit at the same time, and judged at the end."""

import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import nats.errors
import structlog
from estafette_common.bus.connection import connect
from estafette_local.environment import Options
from estafette_local.forge import FakeForge
from estafette_local.people import GitRepository, Person
from estafette_local.servers import free_port
from estafette_local.stack import Stack
from estafette_local.waiting import eventually
from nats.aio.client import Client

from tests.proof import pushes
from tests.proof.feeding import Feeder
from tests.proof.injecting import MOST_AHEAD
from tests.proof.line import Line
from tests.proof.observing import Observer
from tests.proof.oracle import Observed, Schedule, Sent, Verdict, judge
from tests.proof.schedule import ON_NATS, REPLICAS

CRON_BY_CLOCK = Path(__file__).with_name("cron_by_clock.py")

LOOK_EVERY = 3.0
"""Seconds."""

SETTLED_AFTER = 60.0
"""Seconds after which what did not change any more counts as the outcome: longer than messages wait for a try."""

STUCK_AFTER = 180.0
"""Seconds after which that holds even if something has not ended."""

SETTLES_WITHIN = 600.0
"""Seconds after the last fault."""

PATIENCE = {"ESTAFETTE_GRACE": "20", "ESTAFETTE_CLEAN_INTERVAL": "2"}
"""The cleaner looks often and has little patience, so that it would end what it must not."""


@dataclass(slots=True)
class Scene:
    """The stack, and those around it."""

    stack: Stack
    lines: dict[tuple[str, int], list[Line]]
    forge: FakeForge
    person: Person
    bus: Client
    clock: Path


@asynccontextmanager
async def scene(data: Path, *, nats_servers: int) -> AsyncIterator[Scene]:
    """Give a running stack whose services reach NATS by lines that can be cut."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # of our own client
    ports = {f"nats-{number}": free_port() for number in range(nats_servers)}
    clock = data / "clock"
    clock.write_text("0")
    async with AsyncExitStack() as held:
        forge = await held.enter_async_context(FakeForge(data / "repositories"))
        lines = {
            (service, replica): [await held.enter_async_context(Line(port=free_port(), to=to)) for to in ports.values()]
            for service in sorted(ON_NATS)
            for replica in range(1 if service == "builder-host" else REPLICAS)
        }
        routes = {
            f"{service}-{replica}": {"ESTAFETTE_NATS_URL": ",".join(f"nats://127.0.0.1:{each.port}" for each in own)}
            for (service, replica), own in lines.items()
        }
        options = Options(
            replicas={"*": REPLICAS, "builder-host": 1},
            ports=ports,
            nats_servers=nats_servers,
            github_api_url=forge.url,
            github_token="a-token",
            manifest_source="github",
            settings={**routes, "hanging-job-cleaner": PATIENCE},
            commands={"cron-sender": [sys.executable, "-P", str(CRON_BY_CLOCK), str(clock)]},
        )
        stack = Stack(data, options)
        await asyncio.to_thread(stack.start)
        held.push_async_callback(asyncio.to_thread, stack.stop)
        http = await held.enter_async_context(aiohttp.ClientSession())
        person = Person(http, ingress=stack.url("webhook-ingress"), api=stack.url("api"))
        bus = await connect(stack.places.nats_url, name="proof", credentials=stack.places.nats_credentials)
        held.push_async_callback(bus.close)
        yield Scene(stack, lines, forge, person, bus, clock)


async def begin(scene: Scene, feeder: Feeder) -> Schedule:
    """Push what is built every minute, and wait until the system knows it."""
    began = datetime.now(UTC)
    await feeder.push(pushes.scheduled())
    repository = GitRepository(scene.stack.places.repositories, pushes.OWNER, pushes.SCHEDULED)
    await eventually(lambda: scene.person.builds(repository), within=60)
    known = datetime.now(UTC)
    return Schedule(
        repository=pushes.SCHEDULED,
        after=known,
        since=began.replace(second=0, microsecond=0),
        until=known,
        at_most=known,
    )


async def settle(scene: Scene, sent: Sent, schedule: Schedule) -> tuple[Verdict, Observed]:
    """Wait until all is as it must be, or nothing changes any more; then end the clock, and judge what there is."""
    observer = Observer(scene.person, scene.forge, scene.bus.jetstream())
    schedule = replace(schedule, until=datetime.now(UTC))
    await _wait(observer, sent, schedule)
    for replica in range(REPLICAS):
        await asyncio.to_thread(scene.stack.stop_one, "cron-sender", replica)
    await _wait(observer, sent, schedule)
    observed = await observer.observe(pushes.repositories())
    return judge(_with(sent, schedule), observed), observed


async def _wait(observer: Observer, sent: Sent, schedule: Schedule) -> None:
    deadline = time.monotonic() + SETTLES_WITHIN
    last, changed = "", time.monotonic()
    while time.monotonic() < deadline:
        try:
            idle = await observer.waiting() == 0 and await observer.active(pushes.repositories()) == 0
            verdict = judge(_with(sent, schedule), await observer.observe(pushes.repositories()))
        except (aiohttp.ClientError, nats.errors.Error, TimeoutError) as error:
            idle, seen = False, repr(error)
        else:
            seen = f"{len(verdict.lost)} missing, {len(verdict.doubled)} doubled, {len(verdict.wrong)} wrong"
            if idle and verdict.clean:
                return
        if seen != last:
            print(f"as it stands: {seen}", flush=True)
            last, changed = seen, time.monotonic()
        if time.monotonic() - changed > (SETTLED_AFTER if idle else STUCK_AFTER):
            return
        await asyncio.sleep(LOOK_EVERY)


def _with(sent: Sent, schedule: Schedule) -> Sent:
    at_most = datetime.now(UTC) + timedelta(minutes=MOST_AHEAD)
    return replace(sent, schedule=replace(schedule, at_most=at_most))


def folder() -> Path:
    """Return a new folder for the data of a stack, which PostgreSQL's account can reach."""
    data = Path(tempfile.mkdtemp(prefix="estafette-proof-"))
    data.chmod(0o755)
    return data


def report(
    seed: int, verdict: Verdict, observed: Observed, feeder: Feeder, faults: Counter[str], *, seconds: float
) -> str:
    """Return the table of a proof."""
    sent = feeder.sent
    rows: list[tuple[str, int | str]] = [(f"fault: {kind}", count) for kind, count in sorted(faults.items())]
    rows += [
        ("faults", faults.total()),
        ("pushes, sent in tries", f"{len(sent.pushes)}, {feeder.tries}"),
        ("deliveries repeated, malformed, poison", f"{feeder.repeated}, {len(sent.refused)}, {len(sent.poison)}"),
        ("builds (of the schedule)", f"{verdict.builds} ({sum(each.minute is not None for each in observed.builds)})"),
        ("releases", len(observed.releases)),
        ("lines compared", verdict.lines),
        ("messages in streams", sum(observed.stored.values())),
        ("dead letters (accounted for)", f"{len(observed.dead)} ({_accounted(sent, observed)})"),
        ("lost", len(verdict.lost)),
        ("doubled", len(verdict.doubled)),
        ("wrong", len(verdict.wrong)),
    ]
    width = max(len(name) for name, _ in rows)
    table = "\n".join(f"{name:{width}}  {value}" for name, value in rows)
    found = [
        f"{what}: {each}"
        for what, all_of in (("lost", verdict.lost), ("doubled", verdict.doubled), ("wrong", verdict.wrong))
        for each in all_of
    ]
    return "\n".join([f"seed {seed}, {seconds:.0f} s", table, *found])


def _accounted(sent: Sent, observed: Observed) -> int:
    return sum(letter.id in sent.poison for letter in observed.dead)


def forget(data: Path) -> None:
    """Remove the data of a stack."""
    shutil.rmtree(data, ignore_errors=True)
