"""The whole system for people. Pure: what the API and NATS tell in, lines out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli import showing
from cli.mourning import count

Json = Mapping[str, Any]

KINDS = ("build", "release", "bot")

REASONS = {"others": "waiting for others", "dispatch": "waiting to be dispatched", "start": "about to start"}
"""What pending jobs do, by the reason that the API gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a consumer has before it."""

    consumer: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """What the streams hold."""

    kept: Mapping[str, int]
    """Messages by stream."""
    waiting: Sequence[Waiting]
    dead: int


def jobs(counted: Json) -> Iterator[str]:
    """Yield a line for each kind of job, and one for how those of the last day ended."""
    for kind in KINDS:
        mine = [each for each in counted["unfinished"] if each["kind"] == kind]
        parts = [_total(mine, status) for status in ("running", "canceling", "pending")]
        pending = [f"{each['count']} {REASONS.get(each['reason'], '')}" for each in mine if each["status"] == "pending"]
        if pending:
            oldest = max(each["age"] for each in mine if each["status"] == "pending")
            parts[-1] += f" ({', '.join(pending)}; the oldest for {_age(oldest)})"
        yield f"{kind + 's':<9} {', '.join(part for part in parts if part) or 'none under way'}"
    ended = [f"{count(each['count'], each['kind'])} {each['outcome'].replace('_', ' ')}" for each in counted["ended"]]
    yield f"last day  {', '.join(ended) or 'nothing ended'}"


def messages(found: Messages) -> Iterator[str]:
    """Yield what waits to be handled, what could not be, and what the streams keep."""
    busy = sorted((each for each in found.waiting if each.count), key=lambda each: -each.count)
    waiting = ", ".join(f"{each.count:,} for {each.consumer}" for each in busy)
    yield f"waiting   {waiting or 'no messages'}"
    yield f"dead      {count(found.dead, 'letter') + ': estafette dead list' if found.dead else 'no letters'}"
    kept = ", ".join(f"{stream} {number:,}" for stream, number in found.kept.items())
    yield f"kept      {kept or 'no streams: was a service ever started?'}"


def newest(builds: Sequence[Json]) -> Iterator[str]:
    """Yield the newest build of each pipeline that was built last, as a table below an empty line."""
    if not builds:
        return
    yield ""
    rows = [("pipeline", *showing.COLUMNS), *((_pipeline(each), *showing.row(each)) for each in builds)]
    yield from showing.aligned(rows)


def _pipeline(build: Json) -> str:
    return f"{build['repoSource']}/{build['repoOwner']}/{build['repoName']}"


def _total(counted: Sequence[Json], status: str) -> str:
    total = sum(each["count"] for each in counted if each["status"] == status)
    return f"{total} {status}" if total else ""


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
