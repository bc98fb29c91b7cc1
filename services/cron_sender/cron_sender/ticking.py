"""Which minutes are due. Pure."""

from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)


def minute_of(time: datetime) -> datetime:
    """Return the beginning of the minute, in UTC."""
    return time.astimezone(UTC).replace(second=0, microsecond=0)


def due(last: datetime | None, now: datetime, *, catch_up: int) -> list[datetime]:
    """Return the minutes to tell, oldest first: those after the last one told, at most `catch_up` before this one.

    With none told yet, only the present minute; none when the last lies in the future, for a clock may be set back.
    """
    present = minute_of(now)
    if last is None:
        return [present]
    missed = int((present - minute_of(last)) / MINUTE)
    count = min(missed, catch_up + 1)
    return [present - MINUTE * ago for ago in range(count - 1, -1, -1)]


def until_next_minute(now: datetime) -> float:
    """Return the seconds until the next minute begins."""
    return (minute_of(now) + MINUTE - now).total_seconds()
