"""What it takes to match an event with triggers, in installations of two sizes, event by event in turns."""

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import (
    BitbucketEvent,
    CronTicked,
    GithubEvent,
    GitPushed,
    PipelineChanged,
    PubSubReceived,
    RegistryPushed,
    ReleaseChanged,
)
from estafette_common.bus.messages.message import Cause
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Status
from estafette_local.servers import NatsServer, PostgresServer
from manifest_planner.decisions import Decisions
from manifest_planner.matcher import Matcher
from manifest_planner.schedules import Schedules
from manifest_planner.ticks import Ticks
from manifest_planner.triggers import SELECT_ONE, Triggers

from bench.planner.installations import KINDS, SIZES, kind, minute, place, prepare

MOST = 1.5
"""Times the 99th percentile of the small installation."""

WARMING = 10
"""The first of so many events are not counted."""

Event = Callable[[], Awaitable[None]]


class InMessages:
    """Payloads of webhooks, none of which is too large for its message."""

    async def of(self, event: GithubEvent) -> bytes:
        """Return the payload."""
        return event.payload


@dataclass(slots=True)
class Taken:
    """Milliseconds of each event of a kind, by the size of the installation."""

    by_size: dict[int, list[float]] = field(default_factory=lambda: {size: [] for size in SIZES})

    def median(self, size: int) -> float:
        """Return the median."""
        return statistics.median(self.by_size[size])

    def late(self, size: int) -> float:
        """Return the 99th percentile."""
        values = sorted(self.by_size[size])
        return values[min(len(values) - 1, int(len(values) * 0.99))]

    @property
    def ratio(self) -> float:
        """How many times the percentile of the small installation that of the large one is."""
        small, large = SIZES
        return self.late(large) / self.late(small)


async def compare(postgres: PostgresServer, server: NatsServer, events: int) -> dict[str, Taken]:
    """Fill both installations, and match so many events of each kind in each."""
    bus = Bus(server.url, source="bench")
    await bus.start()
    databases = {size: await prepare(postgres, size) for size in SIZES}
    matchers = {size: matcher(database, bus) for size, database in databases.items()}
    taken = {each: Taken() for each in KINDS}
    for count in range(events * len(KINDS)):
        for size, each in matchers.items():
            number = count * 7919 % size
            handle = event(each, number, Cause(id=f"{size}-{count}", type="", source="", time=datetime.now(UTC)))
            began = time.perf_counter()
            await handle()
            if count * WARMING > events * len(KINDS):
                taken[kind(number)].by_size[size].append((time.perf_counter() - began) * 1000)
    await show_plan(databases[SIZES[-1]])
    for database in databases.values():
        await database.stop()
    await bus.stop()
    return taken


def matcher(database: Database, bus: Bus) -> Matcher:
    """Return what finds the triggers of an installation."""
    return Matcher(Triggers(database), Schedules(database), Decisions(database), InMessages(), Ticks(bus), bus)


def event(matcher: Matcher, number: int, cause: Cause) -> Event:
    """Return the handling of what the trigger of a pipeline waits for."""
    other = place(number + 1)
    succeeded = {"version": "1.0.1", "branch": "main", "revision": "a" * 40, "status": Status.SUCCEEDED}
    built = PipelineChanged(event="finished", build_id="1", repository=other, **succeeded)
    ends = {"release_id": "1", "build_id": "1", "target": "production", **succeeded}
    released = ReleaseChanged(event="finished", repository=other, **ends)
    pushed = GitPushed(repository=other, ref="refs/heads/main", revision="a" * 40)
    image = RegistryPushed(image=f"acme/service-{number}", tag=cause.id)
    received = PubSubReceived(project="acme", topic=f"topic-{number}")
    payload = f'{{"repository": {{"full_name": "acme/service-{number}"}}}}'.encode()
    issue = GithubEvent(kind="issues", payload=payload)
    created = BitbucketEvent(kind="issue:created", repository=place(number).pipeline, payload=payload)
    handlings: dict[str, Event] = {
        "pipeline": lambda: matcher.on_build(built, cause),
        "release": lambda: matcher.on_release(released, cause),
        "git": lambda: matcher.on_push(pushed, cause),
        "docker": lambda: matcher.on_image(image, cause),
        "cron": lambda: matcher.on_tick(CronTicked(time=minute(number)), cause),
        "pubsub": lambda: matcher.on_pubsub(received, cause),
        "github": lambda: matcher.on_github(issue, cause),
        "bitbucket": lambda: matcher.on_bitbucket(created, cause),
    }
    return handlings[kind(number)]


async def show_plan(database: Database) -> None:
    """Print how the triggers that may wait for an event are found."""
    plan = await database.pool.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {SELECT_ONE}", "git", place(3).pipeline)
    print("\n".join(row[0] for row in plan), end="\n\n")


def report(taken: dict[str, Taken]) -> list[str]:
    """Print the table; return the targets that are missed."""
    small, large = SIZES
    print(f"| | events | median ms: {small} | {large:,} | p99 ms: {small} | {large:,} | p99, times |")
    print("|---|---|---|---|---|---|---|")
    for name, each in taken.items():
        medians = f"{each.median(small):.2f} | {each.median(large):.2f}"
        late = f"{each.late(small):.2f} | {each.late(large):.2f}"
        print(f"| {name} | {len(each.by_size[large]):,} | {medians} | {late} | {each.ratio:.2f} |")
    print(f"\naimed at: p99 at most {MOST} times that of the small installation\n")
    return [f"p99 of {name} events" for name, each in taken.items() if each.ratio > MOST]
