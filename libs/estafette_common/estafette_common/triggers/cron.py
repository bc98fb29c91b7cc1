"""Schedules of cron triggers: which minutes are due.

Five fields as the parser of the reference reads them (robfig/cron of 2018): its own rules on lists, steps, `?`, Sunday
and day fields differ from those of every Python library we looked at, and once a schedule is read, whether a given
minute belongs to it takes no search through the calendar. So this reads them itself. croniter and cronsim also take
six fields, `L`, `#` and 7 for Sunday, and refuse empty items; APScheduler counts days of the week from Monday.

With a time zone, changes of its clock follow Debian's cron: a schedule at fixed times fires once when an hour comes
twice, and right after the gap when its time is left out; one with `*` in minute or hour fires by the clock.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from estafette_common.triggers import durations

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LONGEST = 1_000
"""Characters of a schedule."""

LONGEST_GAP = timedelta(hours=3)
"""Clocks that jump further are set, not changed for summer: nothing is made up for."""

DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
EVERY = "@every "

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
WEEKDAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}


class CronError(Exception):
    """A schedule or a time zone is not understood; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Field:
    """The values of a field; `starred` when it has `*` or `?`, also with a step."""

    values: frozenset[int]
    starred: bool


@dataclass(frozen=True, slots=True)
class Calendar:
    """Five fields; days of the week count from Sunday, 0."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def fixed(self) -> bool:
        """Whether it names times of the day."""
        return not (self.minute.starred or self.hour.starred)

    def holds(self, wall: datetime) -> bool:
        """Return whether the minute on a clock is one of the schedule."""
        return (
            wall.minute in self.minute.values
            and wall.hour in self.hour.values
            and wall.month in self.month.values
            and self._holds_day(wall)
        )

    def _holds_day(self, wall: datetime) -> bool:
        day, weekday = wall.day in self.day.values, wall.isoweekday() % 7 in self.weekday.values
        return day and weekday if self.day.starred or self.weekday.starred else day or weekday


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so many minutes since 1970 in UTC, so that each replica and each restart agrees on them."""

    minutes: int


@lru_cache(maxsize=10_000)
def parse(schedule: str) -> Calendar | Interval:
    """Return the schedule; CronError when it is not valid.

    `@every` is rounded up to whole minutes. (The reference accepts any and fires only for one minute.)
    """
    if not schedule:
        raise CronError("cron.schedule: missing; write '<minute> <hour> <day of month> <month> <day of week>'")
    if len(schedule) > LONGEST:
        raise CronError(f"cron.schedule: longer than {LONGEST} characters")
    if schedule.startswith(EVERY):
        return _interval(schedule.removeprefix(EVERY))
    fields = DESCRIPTORS.get(schedule, schedule).split()
    if schedule.startswith("@") and schedule not in DESCRIPTORS:
        raise CronError(f"cron.schedule: {schedule!r} is none of {', '.join(DESCRIPTORS)}, @every <duration>")
    if len(fields) != 5:
        raise CronError(f"cron.schedule: {schedule!r} has {len(fields)} fields instead of 5")
    minute, hour, day, month, weekday = fields
    return Calendar(
        minute=_field("minute", minute, 0, 59),
        hour=_field("hour", hour, 0, 23),
        day=_field("day of month", day, 1, 31),
        month=_field("month", month, 1, 12, MONTHS),
        weekday=_field("day of week", weekday, 0, 6, WEEKDAYS),
    )


def zone(name: str) -> ZoneInfo | None:
    """Return the time zone; None for no name. CronError when there is none of that name."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CronError(f"cron.timezone: {name!r} is no time zone; write a name such as Europe/Amsterdam") from None


def is_due(schedule: Calendar | Interval, time: datetime, zone: ZoneInfo | None = None) -> bool:
    """Return whether the minute of `time` is one of the schedule; a time without zone is taken as UTC.

    Without a zone the clock of `time` itself counts, as in the reference.
    """
    if isinstance(schedule, Interval):
        return minutes_since_epoch(time) % schedule.minutes == 0
    try:
        wall, left_out = on_clock(time, zone)
    except OverflowError:
        return False
    if zone is None or not schedule.fixed:
        return schedule.holds(wall)
    return (schedule.holds(wall) and not wall.fold) or any(schedule.holds(each) for each in left_out)


def minutes_since_epoch(time: datetime) -> int:
    """Return how many minutes there were since 1970 in UTC."""
    return (_minute(time) - EPOCH) // MINUTE


def on_clock(time: datetime, zone: ZoneInfo | None) -> tuple[datetime, list[datetime]]:
    """Return what a clock shows in the minute of `time`, and the minutes that it has just left out.

    Without a zone it is the clock of `time` itself. OverflowError at the ends of the calendar.
    """
    minute = _minute(time)
    if zone is None:
        return minute, []
    wall = minute.astimezone(zone)
    return wall, _gap((minute.astimezone(UTC) - MINUTE).astimezone(zone), wall)


def due_since(
    schedule: Calendar | Interval, after: datetime, minutes: int, zone: ZoneInfo | None = None
) -> Iterator[datetime]:
    """Yield those of so many minutes after one that are of the schedule, oldest first."""
    with suppress(OverflowError):  # the calendar ends with the year 9999
        for count in range(1, minutes + 1):
            minute = _minute(after) + MINUTE * count
            if is_due(schedule, minute, zone):
                yield minute


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0, tzinfo=time.tzinfo or UTC)


def _gap(before: datetime, wall: datetime) -> list[datetime]:
    """Return the minutes that a clock left out between two that follow each other."""
    length = wall.replace(tzinfo=None) - before.replace(tzinfo=None) - MINUTE
    if length > LONGEST_GAP:
        return []
    return [before.replace(tzinfo=None) + MINUTE * count for count in range(1, length // MINUTE + 1)]


def _interval(text: str) -> Interval:
    duration = durations.parse(text)
    if duration is None:
        raise CronError(f"cron.schedule: {text!r} is no duration; write one such as @every 1h30m")
    return Interval(max(1, -(-duration // MINUTE)))


def _field(name: str, text: str, low: int, high: int, names: dict[str, int] | None = None) -> Field:
    items = [item for item in text.split(",") if item]
    try:
        values = frozenset(value for item in items for value in _values(item, low, high, names or {}))
    except CronError as error:
        raise CronError(f"cron.schedule: {name} {text!r}: {error}") from None
    return Field(values, starred=any(_is_star(item) for item in items))


def _values(item: str, low: int, high: int, names: dict[str, int]) -> range:
    """Return the values of `*`, `n`, `n-m`, each also with `/step`; a single one with a step goes on to the end."""
    span, *steps = item.split("/")
    first, *last = span.split("-")
    if len(steps) > 1:
        raise CronError(f"{item!r} has more than one step")
    if _is_star(item):
        start, end = low, high
    elif len(last) > 1:
        raise CronError(f"{item!r} has too many hyphens")
    else:
        start = _number(first, names)
        end = _number(last[0], names) if last else (high if steps else start)
    step = _number(steps[0], {}) if steps else 1
    if not low <= start <= end <= high:
        raise CronError(f"{item!r} is not within {low}-{high}, or ends before it begins")
    if step == 0:
        raise CronError("a step is at least 1")
    return range(start, end + 1, step)


def _is_star(item: str) -> bool:
    """Return whether an item stands for all; as in the reference, whatever follows a hyphen is not looked at."""
    return item.startswith(("*", "?")) and item[1:2] in {"", "-", "/"}


def _number(text: str, names: dict[str, int]) -> int:
    known = names.get(text.lower())
    digits = text.removeprefix("+")
    if known is not None:
        return known
    if not (digits.isascii() and digits.isdigit()):
        raise CronError(f"{text!r} is no number" + (f" and none of {', '.join(names)}" if names else ""))
    return int(digits)
