"""Does to a running stack what the schedule says, and undoes it."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import nats.errors
from estafette_common.bus.subjects import STREAMS
from estafette_local.stack import Stack
from nats.aio.client import Client

from tests.proof.line import Line
from tests.proof.schedule import Fault, Kind

MOST_AHEAD = 5
"""Minutes that the clock of the cron-senders jumps."""

ROOM = 64
"""Messages for which there is room in a stream that is to be full, before it is filled."""

FINDS_A_BUILDER_WITHIN = 15.0
"""Seconds; a builder is hit while it has a stage that runs."""

BEGUN_ONCE = "release-"
"""How names of jobs begin that end as lost when their builder dies, by design; those are spared."""


STOPPED_BY = {
    Kind.NATS_RESTART: signal.SIGTERM,
    Kind.NATS_LOSS: signal.SIGKILL,
    Kind.DATABASE_STOP: signal.SIGINT,
}


class Injector:
    """Injects faults at their times. Says each that it did."""

    def __init__(self, stack: Stack, lines: Mapping[tuple[str, int], Sequence[Line]], bus: Client, clock: Path) -> None:
        self._stack = stack
        self._lines = lines
        self._bus = bus
        self._clock = clock
        self._hit: set[str] = set()
        """Jobs whose builder was killed; one that dies three times is given up by design."""
        self.done: Counter[Kind] = Counter()
        self.missed: list[Fault] = []
        """Those that found nothing to hit."""

    async def inject(self, faults: Sequence[Fault], *, began: float) -> None:
        """Inject all; returns when the last is over. `began` is of the monotonic clock."""
        async with asyncio.TaskGroup() as running:
            for fault in faults:
                running.create_task(self._inject_at(fault, began))

    async def _inject_at(self, fault: Fault, began: float) -> None:
        await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
        what = await self._do(fault)
        if what:
            self.done[fault.kind] += 1
            print(f"{time.monotonic() - began:6.1f} s  {fault.kind}: {what}", flush=True)
        else:
            self.missed.append(fault)

    async def _do(self, fault: Fault) -> str:
        """Inject a fault; returns what was hit when it is over, or nothing."""
        ways = {
            Kind.KILL: self._kill,
            Kind.KILL_ALL: self._kill_all,
            Kind.KILL_BUILDER: self._kill_builder,
            Kind.FREEZE: self._freeze,
            Kind.CUT: self._cut,
            Kind.FULL: self._fill,
            Kind.CLOCK: self._jump,
        }
        return await ways.get(fault.kind, self._away)(fault)

    async def _kill(self, fault: Fault) -> str:
        return self._kill_replica(fault.target, fault.replica)

    async def _kill_all(self, fault: Fault) -> str:
        replicas = [replica for service, replica in self._stack.processes if service == fault.target]
        return ", ".join(filter(None, [self._kill_replica(fault.target, each) for each in replicas]))

    def _kill_replica(self, service: str, replica: int) -> str:
        pids = self._pids(service, replica)
        _signal(pids, signal.SIGKILL)
        return f"{service}-{replica}" if pids else ""

    async def _kill_builder(self, fault: Fault) -> str:
        found = await self._builder(fault.choice)
        if found is None:
            return ""
        name, pid = found
        self._hit.add(name)
        _signal([pid], signal.SIGKILL)
        return f"{name}, process {pid}"

    async def _freeze(self, fault: Fault) -> str:
        name, pids = f"{fault.target}-{fault.replica}", self._pids(fault.target, fault.replica)
        if fault.target == "builder":
            found = await self._builder(fault.choice)
            name, pids = (found[0], [found[1]]) if found else ("", [])
        _signal(pids, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            _signal(pids, signal.SIGCONT)
        return f"{name} for {fault.lasts:g} s" if pids else ""

    async def _away(self, fault: Fault) -> str:
        how = STOPPED_BY[fault.kind]
        await asyncio.to_thread(self._stack.stop_one, fault.target, fault.replica, how)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            await asyncio.to_thread(self._stack.start_one, fault.target, fault.replica)
        return f"{fault.target}-{fault.replica}" + (f" for {fault.lasts:g} s" if fault.lasts else "")

    async def _cut(self, fault: Fault) -> str:
        lines = self._lines[fault.target, fault.replica]
        for line in lines:
            line.cut()
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            for line in lines:
                line.mend()
        return f"{fault.target}-{fault.replica} for {fault.lasts:g} s"

    async def _fill(self, fault: Fault) -> str:
        """Let a stream have room for few messages, and publish into it until it has none; then put both back."""
        [first] = [token for token, each in STREAMS.items() if each.name == fault.target]
        filler = f"{first}.filler"
        await self._limit(fault.target, ROOM)
        try:
            count = await self._publish_until_full(filler)
            await asyncio.sleep(fault.lasts)
        finally:
            await self._limit(fault.target, None)
            await self._until_taken(lambda: self._bus.jetstream().purge_stream(fault.target, subject=filler))
        return f"{fault.target}, with {count} messages of ours, for {fault.lasts:g} s"

    async def _publish_until_full(self, subject: str) -> int:
        """Publish messages until none is taken; returns how many were."""
        count = 0
        with suppress(nats.errors.Error, TimeoutError):
            while count < ROOM:
                await self._bus.jetstream().publish(subject, b"")
                count += 1
        return count

    async def _limit(self, stream: str, room: int | None) -> None:
        """Let a stream hold so many messages more than it has, or any number.

        Messages are limited, not bytes: at that limit NATS drops the oldest now and then, see docs/proof.md.
        """

        async def update() -> None:
            info = await self._bus.jetstream().stream_info(stream)
            limit = -1 if room is None else info.state.messages + room
            await self._bus.jetstream().update_stream(info.config.evolve(max_msgs=limit))

        await self._until_taken(update)

    async def _until_taken(self, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask NATS until it does it, however long it is away."""
        while True:
            with suppress(nats.errors.Error, TimeoutError):
                await ask()
                return
            await asyncio.sleep(0.5)

    async def _jump(self, fault: Fault) -> str:
        minutes = 1 + int(fault.choice * MOST_AHEAD)
        await asyncio.to_thread(self._clock.write_text, str(minutes * 60))
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            await asyncio.to_thread(self._clock.write_text, "0")
        return f"{minutes} minutes ahead for {fault.lasts:g} s, then back"

    def _pids(self, service: str, replica: int) -> list[int]:
        """Return the processes of a replica: PostgreSQL is many."""
        process = self._stack.processes.get((service, replica))
        pid = process.pid if process is not None else None
        if pid is None:
            return []
        return [pid, *(_children(pid) if service == "postgres" else [])]

    async def _builder(self, choice: float) -> tuple[str, int] | None:
        """Return job and process of a builder that was not hit yet, as soon as there is one with a stage that runs."""
        until = time.monotonic() + FINDS_A_BUILDER_WITHIN
        while time.monotonic() < until:
            running = sorted(self._running())
            if running:
                return running[int(choice * len(running))]
            await asyncio.sleep(0.05)
        return None

    def _running(self) -> list[tuple[str, int]]:
        found = []
        for folder in (self._stack.data / "jobs").iterdir():
            with suppress(OSError, ValueError, IndexError):
                pid = int((folder / "pid").read_text().split()[0])
                spared = folder.name in self._hit or folder.name.startswith(BEGUN_ONCE)
                if not spared and _children(pid):
                    found.append((folder.name, pid))
        return found


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _signal(pids: Sequence[int], how: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, how)
