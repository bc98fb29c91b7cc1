"""Under what schedules are found in a minute, without asking all of them: an index. Pure.

A schedule is in slots by the times that it names: `02:30`, `*:30` for each hour, `02:*` for each minute, `*:*`. They
are of its clock, that of its time zone, so that changes of that clock move none. `@every` has a clock of its length,
and is in the one slot of that. A minute looks into the slots that it can be in, of the clocks that any schedule has.
What is there may be due: days and changes of the clock are for `cron` to judge.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import product

from estafette_common.triggers import cron
from estafette_common.triggers.cron import EVERY, CronError, Interval

HOURS, MINUTES = 24, 60
ALL = "*"

MOST = 60
"""Slots of a schedule: one with more times a day is in those of its minutes, whatever the hour."""


def clock_of(schedule: str, timezone: str) -> str:
    """Return the name of a schedule's clock; one that is broken, or of no time zone, is never due, by any clock."""
    try:
        parsed = cron.parse(schedule)
        cron.zone(timezone)
    except CronError:
        return ""
    return f"{EVERY}{parsed.minutes}" if isinstance(parsed, Interval) else timezone


def slots_of(schedule: str, timezone: str) -> frozenset[str]:
    """Return the slots of a schedule, at most 60; one that is broken is in none, for it is never due."""
    try:
        parsed = cron.parse(schedule)
    except CronError:
        return frozenset()
    if isinstance(parsed, Interval):
        return frozenset({clock_of(schedule, timezone)})
    hours, minutes = _named(parsed.hour.values, HOURS), _named(parsed.minute.values, MINUTES)
    if len(hours) * len(minutes) > MOST:
        hours = [ALL]
    return frozenset(_slot(timezone, hour, minute) for hour, minute in product(hours, minutes))


def slots_at(time: datetime, clocks: Iterable[str]) -> frozenset[str]:
    """Return the slots of what may be due in a minute, of the clocks that schedules have."""
    return frozenset(slot for clock in clocks for slot in _slots_of_clock(time, clock))


def _slots_of_clock(time: datetime, clock: str) -> Iterator[str]:
    length = clock.removeprefix(EVERY)
    if length != clock:
        if cron.minutes_since_epoch(time) % int(length) == 0:
            yield clock
        return
    for wall in _walls(time, clock):
        for hour, minute in product((ALL, _two(wall.hour)), (ALL, _two(wall.minute))):
            yield _slot(clock, hour, minute)


def _walls(time: datetime, timezone: str) -> list[datetime]:
    """Return what the clock of a time zone shows, and what it has just left out."""
    try:
        wall, left_out = cron.on_clock(time, cron.zone(timezone))
    except (CronError, OverflowError):
        return []
    return [wall, *left_out]


def _named(values: frozenset[int], all_of_them: int) -> list[str]:
    return [ALL] if len(values) == all_of_them else [_two(value) for value in values]


def _two(number: int) -> str:
    return f"{number:02}"


def _slot(timezone: str, hour: str, minute: str) -> str:
    return f"{timezone} {hour}:{minute}"
