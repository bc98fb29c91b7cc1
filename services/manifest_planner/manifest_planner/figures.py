"""What is typical of a pipeline: how long its builds wait and run, and who works on it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

RECENT = timedelta(days=7)
"""How long somebody counts as recent, as in the reference."""

BUILDS = 10
"""How many builds are looked at, as in the reference: the last ones for people, those that succeeded for medians."""

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Run:
    """A build that came to its end."""

    inserted_at: datetime
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody, and when last."""

    email: str
    at: datetime


def medians(runs: Sequence[Run]) -> tuple[int | None, int | None]:
    """Return for how many microseconds builds wait, and run; nothing where there were none."""
    if not runs:
        return None, None
    waiting = median((run.started_at - run.inserted_at) // _MICROSECOND for run in runs)
    running = median((run.finished_at - run.started_at) // _MICROSECOND for run in runs)
    return max(0, int(waiting)), max(0, int(running))


def committers(builds: Iterable[tuple[datetime, Sequence[Mapping[str, Any]]]]) -> list[Seen]:
    """Return who wrote commits, the latest first, from the times of builds and their commits."""
    return last_seen(
        Seen(commit["author"]["email"], at) for at, commits in builds for commit in commits if commit.get("author")
    )


def last_seen(people: Iterable[Seen]) -> list[Seen]:
    """Return each person with an address once, the latest first."""
    latest: dict[str, Seen] = {}
    for seen in people:
        if seen.email and (seen.email not in latest or latest[seen.email].at < seen.at):
            latest[seen.email] = seen
    return sorted(latest.values(), key=lambda seen: (seen.at, seen.email), reverse=True)
