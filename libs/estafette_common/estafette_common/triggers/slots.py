"""Under what schedules are found in a minute, without asking all of them: an index. Pure.

A schedule is in slots by the times that it names: `02:30`, `*:30` for each hour, `02:*` for each minute, `*:*`. They
are of the clock of its time zone, so that changes of that clock move none. `@every` is in one of its length. A minute
looks into the slots that it can be in. What is there may be due: days and changes of the clock are for `cron` to judge.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import product
from math import isqrt

from estafette_common.triggers import cron
from estafette_common.triggers.cron import CronError, Interval

HOURS, MINUTES = 24, 60
ALL = "*"

MOST = 60
"""Slots of a schedule: one with more times a day is in those of its minutes, whatever the hour."""


def slots_of(schedule: str, timezone: str) -> frozenset[str]:
    """Return the slots of a schedule, at most 60; one that is broken is in none, for it is never due."""
    try:
        parsed = cron.parse(schedule)
    except CronError:
        return frozenset()
    if isinstance(parsed, Interval):
        return frozenset({_every(parsed.minutes)})
    hours, minutes = _named(parsed.hour.values, HOURS), _named(parsed.minute.values, MINUTES)
    if len(hours) * len(minutes) > MOST:
        hours = [ALL]
    return frozenset(_slot(timezone, hour, minute) for hour, minute in product(hours, minutes))


def slots_at(time: datetime, timezones: Iterable[str]) -> frozenset[str]:
    """Return the slots of what may be due in a minute since 1970; `timezones` are those that schedules have."""
    walls = [wall for timezone in timezones for wall in _walls(time, timezone)]
    of_clocks = {
        _slot(timezone, hour, minute)
        for timezone, wall in walls
        for hour, minute in product((ALL, _two(wall.hour)), (ALL, _two(wall.minute)))
    }
    return frozenset(of_clocks | {_every(minutes) for minutes in _divisors(cron.minutes_since_epoch(time))})


def _walls(time: datetime, timezone: str) -> list[tuple[str, datetime]]:
    """Return what the clock of a time zone shows, and what it has just left out."""
    try:
        wall, left_out = cron.on_clock(time, cron.zone(timezone))
    except (CronError, OverflowError):
        return []
    return [(timezone, each) for each in (wall, *left_out)]


def _named(values: frozenset[int], all_of_them: int) -> list[str]:
    return [ALL] if len(values) == all_of_them else [_two(value) for value in values]


def _two(number: int) -> str:
    return f"{number:02}"


def _slot(timezone: str, hour: str, minute: str) -> str:
    return f"{timezone} {hour}:{minute}"


def _every(minutes: int) -> str:
    return f"@every {minutes}"


def _divisors(number: int) -> set[int]:
    """Return the divisors of a positive number: the lengths of the intervals that end there."""
    small = [each for each in range(1, isqrt(number) + 1) if number % each == 0]
    return {*small, *(number // each for each in small)}
