"""What becomes of a scheduled minute that comes late, because nobody looked at the clock when it was.

`all` makes up for each minute. `once` fires for the last of those that were missed, and not for that either when the
present minute is due itself: a nightly build that was missed runs, a poll of every minute runs once. `none` makes up
for nothing.
"""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from estafette_common.triggers import cron
from estafette_common.triggers.cron import Calendar, Interval

ALL, ONCE, NONE = "all", "once", "none"
POLICIES = (ALL, ONCE, NONE)

LONGEST = 7 * 24 * 60
"""Minutes in which a later one of the same schedule is looked for."""


def why_not(policy: str, schedule: Calendar | Interval, time: datetime, late: int, zone: ZoneInfo | None = None) -> str:
    """Return why a due minute does not fire any more; empty when it does, as each that is not late.

    `late` is how many minutes the clock has moved on since; no policy stands for `once`.
    """
    if late <= 0 or policy == ALL:
        return ""
    if policy == NONE:
        return "was missed, and is not made up for"
    later = _later(schedule, time, min(late, LONGEST), zone)
    return f"was missed, and {later:%Y-%m-%d %H:%M} stands for it" if later is not None else ""


@lru_cache(maxsize=1_000)
def _later(schedule: Calendar | Interval, time: datetime, minutes: int, zone: ZoneInfo | None) -> datetime | None:
    """Return the first of so many minutes after one that is of the schedule; kept, for many triggers share one."""
    return next(cron.due_since(schedule, time, minutes, zone), None)
