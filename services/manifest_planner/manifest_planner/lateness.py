"""How many minutes a tick comes late. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from estafette_common.bus.messages.events import CronTicked

MINUTE = timedelta(minutes=1)
A_WHILE = timedelta(seconds=30)
"""Between two ticks that were told at once, after an outage, less time lies; between others a minute."""


@dataclass(frozen=True, slots=True)
class Told:
    """A tick, and when it was told."""

    tick: CronTicked
    at: datetime


def minutes_late(this: Told, last: Told | None) -> int:
    """Return how many minutes the clock has moved on since a tick: it was told late, or is looked at late.

    `last` is the newest that was told; when there is a time between, nobody looked in it. So it does not depend on when
    this is asked, and recorded ticks that are told again fire what they fired.
    """
    if last is None or last.at - this.at < A_WHILE:
        return this.tick.late
    present = last.tick.time + last.tick.late * MINUTE
    return max(this.tick.late, (present - this.tick.time) // MINUTE)
