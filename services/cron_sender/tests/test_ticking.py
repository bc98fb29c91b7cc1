from datetime import UTC, datetime, timedelta, timezone

import pytest
from cron_sender.ticking import due, until_next_minute

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def minutes(*numbers: int) -> list[datetime]:
    """Return the minutes that begin so many minutes after noon."""
    return [NOON + timedelta(minutes=number) for number in numbers]


def at(minute: int, second: float = 0.0) -> datetime:
    return NOON + timedelta(minutes=minute, seconds=second)


@pytest.mark.parametrize(
    ("last", "now", "wanted"),
    [
        pytest.param(None, at(0, 30), minutes(0), id="the first minute ever is the present one"),
        pytest.param(at(0), at(0, 59.999), [], id="a minute is told once"),
        pytest.param(at(0), at(1), minutes(1), id="the next minute is due when it begins"),
        pytest.param(at(0), at(3, 20), minutes(1, 2, 3), id="missed minutes come first, oldest first"),
        pytest.param(at(0), at(100), minutes(97, 98, 99, 100), id="an outage is caught up within bounds"),
        pytest.param(at(0), at(4), minutes(1, 2, 3, 4), id="an outage of exactly the bound is caught up whole"),
        pytest.param(at(5), at(0), [], id="a clock set back tells nothing twice"),
    ],
)
def test_due(last: datetime | None, now: datetime, wanted: list[datetime]) -> None:
    assert due(last, now, catch_up=3) == wanted


def test_without_catching_up_only_the_present_minute_is_due() -> None:
    assert due(at(0), at(90), catch_up=0) == minutes(90)


def test_minutes_are_utc_wherever_the_clock_is() -> None:
    there = timezone(timedelta(hours=5, minutes=45))

    assert due(None, NOON.astimezone(there), catch_up=3) == [NOON]
    assert due(None, NOON.astimezone(there), catch_up=3)[0].tzinfo is UTC


@pytest.mark.parametrize(("now", "seconds"), [(at(0), 60.0), (at(0, 59.5), 0.5), (at(0, 20.25), 39.75)])
def test_the_clock_sleeps_until_the_next_minute_begins(now: datetime, seconds: float) -> None:
    assert until_next_minute(now) == seconds
