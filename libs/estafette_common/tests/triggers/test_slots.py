"""Where schedules are found that may be due."""

from datetime import UTC, datetime, timedelta

import pytest
from estafette_common.triggers import cron
from estafette_common.triggers.slots import MOST, clock_of, slots_at, slots_of
from hypothesis import given
from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)
HALF_PAST_TWO = datetime(2026, 3, 4, 2, 30, tzinfo=UTC)
ZONES = ["", "UTC", "Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]

AROUND_CHANGES = [
    datetime(2026, 3, 29, 0, 30, tzinfo=UTC),  # Europe, an hour left out
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # Europe, an hour twice
    datetime(2026, 3, 8, 6, 30, tzinfo=UTC),  # New York, an hour left out
    datetime(2026, 10, 3, 15, 0, tzinfo=UTC),  # Lord Howe, half an hour left out
    datetime(2011, 12, 30, 9, 30, tzinfo=UTC),  # Apia, a whole day left out
]


def values(low: int, high: int) -> st.SearchStrategy[str]:
    """Return a field of a schedule: all, a step, a list or a range."""
    value = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        st.integers(1, 30).map("*/{}".format),
        st.lists(value, min_size=1, max_size=5).map(lambda found: ",".join(map(str, found))),
        st.tuples(value, value).map(lambda found: "{}-{}".format(*sorted(found))),
    )


SCHEDULES = st.one_of(
    st.tuples(values(0, 59), values(0, 23), values(1, 31), values(1, 12), values(0, 6)).map(" ".join),
    st.integers(1, 100_000).map("@every {}m".format),
)


@pytest.mark.parametrize(
    ("schedule", "slots"),
    [
        ("30 2 * * 1", {"Europe/Paris 02:30"}),
        ("30 * * * *", {"Europe/Paris *:30"}),
        ("* 2,3 * * *", {"Europe/Paris 02:*", "Europe/Paris 03:*"}),
        ("* * 1 * *", {"Europe/Paris *:*"}),
        ("@every 45m", {"@every 45"}),
        ("nonsense", set()),
    ],
)
def test_a_schedule_is_in_the_slots_of_its_times(schedule: str, slots: set[str]) -> None:
    assert slots_of(schedule, "Europe/Paris") == slots


def test_other_times_clocks_and_intervals_are_not_looked_at() -> None:
    here = slots_at(HALF_PAST_TWO, ["", "Europe/Paris"])

    assert slots_of("30 2 * * *", "") <= here
    assert slots_of("30 3 * * *", "Europe/Paris") <= here
    assert not here & slots_of("31 2 * * *", "")
    assert not here & slots_of("30 2 * * *", "Europe/Paris")
    assert not here & slots_of("@every 7m", "")


def test_a_time_zone_that_is_none_keeps_nothing_back() -> None:
    assert slots_of("30 2 * * *", "") <= slots_at(HALF_PAST_TWO, ["Europe/Nowhere", ""])


@pytest.mark.parametrize(("interval", "found"), [("@every 45m", False), ("@every 10m", True), ("@every 7m", False)])
def test_an_interval_is_looked_at_when_it_ends(interval: str, found: bool) -> None:
    here = slots_at(HALF_PAST_TWO, ["", clock_of("@every 45m", ""), clock_of(interval, "Europe/Paris")])

    assert (slots_of(interval, "Europe/Paris") <= here) == found


@pytest.mark.parametrize(("schedule", "timezone"), [("30 2 * * *", "@every 0"), ("@every x", "UTC"), ("@every 0h", "")])
def test_what_is_broken_has_a_clock_that_keeps_nothing_back(schedule: str, timezone: str) -> None:
    assert slots_of("30 2 * * *", "") <= slots_at(HALF_PAST_TWO, ["", clock_of(schedule, timezone)])


def test_a_minute_looks_into_four_slots_of_a_clock() -> None:
    assert len(slots_at(HALF_PAST_TWO, ["Europe/Paris"])) == 4


@given(SCHEDULES)
def test_a_schedule_is_in_few_slots(schedule: str) -> None:
    assert 1 <= len(slots_of(schedule, "")) <= MOST


@given(
    SCHEDULES,
    st.sampled_from(ZONES),
    st.one_of(
        st.tuples(st.sampled_from(AROUND_CHANGES), st.integers(0, 240)).map(lambda found: found[0] + MINUTE * found[1]),
        st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  as hypothesis wants bounds
    ),
)
def test_what_is_due_is_found(schedule: str, timezone: str, time: datetime) -> None:
    due = cron.is_due(cron.parse(schedule), time, cron.zone(timezone))

    assert not due or slots_of(schedule, timezone) & slots_at(time, ["Asia/Tokyo", clock_of(schedule, timezone)])


@pytest.mark.parametrize("timezone", ZONES)
@pytest.mark.parametrize("begin", AROUND_CHANGES)
def test_each_time_of_a_day_is_found_around_a_change_of_the_clock(timezone: str, begin: datetime) -> None:
    times = [f"{minute} {hour} * * *" for hour in range(24) for minute in (0, 30)]
    zone = cron.zone(timezone)
    for count in range(150):
        minute = begin + MINUTE * count
        here = slots_at(minute, [timezone])
        for schedule in times:
            assert slots_of(schedule, timezone) <= here or not cron.is_due(cron.parse(schedule), minute, zone)
