"""The way from a push to a build beside Buildbot's, and taking webhooks beside Debian's `webhook`, in one run.

`make bench-peers`. All get the same 25 KB push with a signature, and take turns. Buildbot, from PyPI, has PostgreSQL,
one worker, and one builder with the step `echo hello`; ours has all its services, and one stage of a process that does
the same, after a clone. `webhook` (`apt-get install webhook`) checks the signature and rules of the payload, and stores
and starts nothing. Not like for like: Buildbot's step needs no clone, and ours stores each event before it answers.
"""

import argparse
import asyncio
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from estafette_local.waiting import eventually

from bench.peers import buildbot, webhook
from bench.peers.buildbot import Buildbot
from bench.peers.estafette import Estafette, estafette
from bench.peers.pushes import Builder, Peer, payload
from bench.peers.webhook import Webhook

AT_ONCE = 8
WARM_UP = 2
"""Turns that do not count."""

HEADING = """\
| | estafette | Buildbot | ours to Buildbot | webhook | ours to webhook |
|---|---|---|---|---|---|"""

Row = tuple[str, dict[str, float]]
"""What was measured, and the figure of each peer; milliseconds, or times a second."""


async def measure(found: dict[str, Peer], count: int) -> AsyncIterator[Row]:
    """Yield each row as soon as it is measured."""
    make = {name: _maker(peer, "other") for name, peer in found.items()}
    hooks: dict[str, Callable[[], Awaitable[object]]] = {
        name: partial(_make_and_hook, peer, make[name]) for name, peer in found.items()
    }
    yield "hook answered, p50 ms", await _in_turns(hooks, count)
    rates = {name: await _rate(peer, make[name], 10 * count) for name, peer in found.items()}
    yield f"webhooks/s, {AT_ONCE} at once", rates
    builders: dict[str, Builder] = {
        name: peer for name, peer in found.items() if isinstance(peer, Estafette | Buildbot)
    }
    lines: dict[str, list[float]] = {name: [] for name in builders}
    for turn in range(count + WARM_UP):
        for name, builder in builders.items():
            took = await builder.to_first_line()
            lines[name] += [took * 1000] if turn >= WARM_UP else []
    yield "push to the step's first line, p50 ms", {name: statistics.median(each) for name, each in lines.items()}
    builds = {name: await _builds(builder, 2 * count) for name, builder in builders.items()}
    yield f"builds/s, {2 * count} pushed {AT_ONCE} at once", builds


async def _in_turns(works: dict[str, Callable[[], Awaitable[object]]], count: int) -> dict[str, float]:
    """Return the median milliseconds of each."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(count + WARM_UP):
        for name, work in works.items():
            seconds = await _seconds(work())
            took[name] += [seconds * 1000] if turn >= WARM_UP else []
    return {name: statistics.median(each) for name, each in took.items()}


async def _make_and_hook(peer: Peer, make: Callable[[], bytes]) -> None:
    await peer.hook(make())


def _maker(peer: Peer, branch: str) -> Callable[[], bytes]:
    if isinstance(peer, Estafette | Buildbot):
        return lambda: peer.payload(branch)
    return lambda: payload("acme", "shop", branch, "4" * 40)


async def _seconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _rate(peer: Peer, make: Callable[[], bytes], count: int) -> float:
    """Return how many webhooks a second are answered."""
    bodies = [make() for _ in range(count)]

    async def one() -> None:
        while bodies:
            await peer.hook(bodies.pop())

    return count / await _seconds(asyncio.gather(*(one() for _ in range(AT_ONCE))))


async def _builds(builder: Any, count: int) -> float:
    """Return how many builds a second end, from the first push to the last end."""
    before = await builder.ended()

    async def all_ended() -> bool:
        return bool(await builder.ended() >= before + count)

    async def push_and_wait() -> None:
        await _rate(builder, bodies.pop, count)
        await eventually(all_ended, within=300)

    bodies = [builder.payload("main") for _ in range(count)]
    return count / await _seconds(push_and_wait())


def row(measured: Row) -> str:
    """Return a row; its ratios are ours to theirs: the better the smaller in ms, the larger in times a second."""
    name, values = measured
    ours = values["estafette"]
    cells = [f"{ours:,.1f}"]
    for peer in ("Buildbot", "webhook"):
        cells += [f"{values[peer]:,.1f}", f"{ours / values[peer]:.2f}"] if peer in values else ["", ""]
    return f"| {name} | {' | '.join(cells)} |"


def versions() -> str:
    """Return what was measured, on what."""
    found = f"Buildbot {buildbot.VERSION}, webhook {webhook.version()}, Python {platform.python_version()}"
    return f"{found}; load {os.getloadavg()[0]:.1f}."


async def compare(folder: Path, addresses: dict[str, str], count: int) -> None:
    """Start ours, wait until all answer, measure and print the table."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        estafette(folder / "stack", session) as ours,
    ):
        other = Buildbot(session, addresses["Buildbot"])
        await eventually(other.has_worker, within=120)
        found: dict[str, Peer] = {
            "estafette": ours,
            "Buildbot": other,
            "webhook": Webhook(session, addresses["webhook"]),
        }
        print(HEADING)
        async for measured in measure(found, count):
            print(row(measured), flush=True)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30, help="of pushes that are timed one by one")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="estafette-bench-"))
    folder.chmod(0o755)
    try:
        with webhook.webhook(folder) as small, buildbot.buildbot(folder) as large:
            asyncio.run(compare(folder, {"Buildbot": large, "webhook": small}, options.count))
            print(f"\n{versions()}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
