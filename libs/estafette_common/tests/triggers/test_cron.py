"""Which minutes are due."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from estafette_common.triggers import cron
from hypothesis import given
from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def minutes_due(schedule: str, begin: datetime, end: datetime, zone: ZoneInfo | None = None) -> list[str]:
    """Return each minute of a time that is due, on the clock of the zone, as day hour:minute and offset."""
    parsed = cron.parse(schedule)
    minutes = (begin + MINUTE * count for count in range(int((end - begin) / MINUTE)))
    due = (minute for minute in minutes if cron.is_due(parsed, minute, zone))
    return [f"{minute.astimezone(zone or UTC):%d %H:%M%z}" for minute in due]


def test_lists_ranges_and_steps() -> None:
    day = datetime(2026, 6, 8, tzinfo=UTC), datetime(2026, 6, 9, tzinfo=UTC)

    assert minutes_due("0,30 8-9 * * mon-FRI", *day) == [
        "08 08:00+0000",
        "08 08:30+0000",
        "08 09:00+0000",
        "08 09:30+0000",
    ]
    assert minutes_due("50/5 23 ? ? ?", *day) == ["08 23:50+0000", "08 23:55+0000"]
    assert minutes_due("1,,2 0 * * *", *day) == ["08 00:01+0000", "08 00:02+0000"]
    assert minutes_due("*/70 12-12/9 * * *", *day) == ["08 12:00+0000"]


def test_either_day_suffices_when_both_are_given() -> None:
    june = datetime(2026, 6, 8, tzinfo=UTC), datetime(2026, 6, 16, tzinfo=UTC)

    assert minutes_due("0 9 13 * 5", *june) == ["12 09:00+0000", "13 09:00+0000"]
    assert minutes_due("0 9 */2 * 6", *june) == ["13 09:00+0000"]


@pytest.mark.parametrize(
    ("descriptor", "fields"),
    [("@yearly", "0 0 1 1 *"), ("@weekly", "0 0 * * 0"), ("@midnight", "0 0 * * *"), ("@hourly", "0 * * * *")],
)
def test_a_descriptor_stands_for_fields(descriptor: str, fields: str) -> None:
    assert cron.parse(descriptor) == cron.parse(fields)


def test_every_fires_at_multiples_of_its_duration() -> None:
    hour = datetime(2026, 6, 8, 12, tzinfo=UTC), datetime(2026, 6, 8, 13, tzinfo=UTC)

    assert minutes_due("@every 20m", *hour) == ["08 12:00+0000", "08 12:20+0000", "08 12:40+0000"]
    assert len(minutes_due("@every 1s", *hour)) == 60
    assert cron.parse("@every 1h29m30s") == cron.Interval(90)


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("", "missing"),
        ("* * * * 7", "'7' is not within 0-6"),
        ("60 * * * *", "minute '60'"),
        ("* * * * sunday", "'sunday' is no number and none of sun, mon"),
        ("*/0 * * * *", "a step is at least 1"),
        ("5-1 * * * *", "ends before it begins"),
        ("* * L * *", "'L' is no number"),
        ("0 * * * * *", "6 fields instead of 5"),
        ("TZ=UTC * * * * *", "6 fields instead of 5"),
        ("@Daily", "none of @yearly"),
        ("@every fortnight", "no duration"),
        ("* " * 1000, "longer than 1000 characters"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said(schedule: str, reason: str) -> None:
    with pytest.raises(cron.CronError, match=reason.replace("(", "\\(")):
        cron.parse(schedule)


@pytest.mark.parametrize("name", ["Nowhere/City", "Europe", "../etc/passwd", "/etc/passwd", "a\x00b", "x" * 5000])
def test_a_time_zone_is_one_that_is_known(name: str) -> None:
    with pytest.raises(cron.CronError, match="no time zone"):
        cron.zone(name)


class TestWhenClocksGoForward:
    """29 March 2026 in Amsterdam: 02:00 is 03:00."""

    night = datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)

    def test_a_time_that_is_left_out_comes_right_after(self) -> None:
        assert minutes_due("30 2 * * *", *self.night, AMSTERDAM) == ["29 03:00+0200"]

    def test_times_that_are_left_out_come_once(self) -> None:
        assert minutes_due("0,30 2,3 * * *", *self.night, AMSTERDAM) == ["29 03:00+0200", "29 03:30+0200"]

    def test_a_schedule_with_a_star_goes_by_the_clock(self) -> None:
        assert minutes_due("*/30 2 * * *", *self.night, AMSTERDAM) == []
        assert len(minutes_due("0 * * * *", *self.night, AMSTERDAM)) == 23

    def test_midnight_may_be_left_out(self) -> None:
        sao_paulo = ZoneInfo("America/Sao_Paulo")
        night = datetime(2018, 11, 4, 0, tzinfo=UTC), datetime(2018, 11, 5, 0, tzinfo=UTC)

        assert minutes_due("@daily", *night, sao_paulo) == ["04 01:00-0200"]

    def test_a_day_that_is_left_out_is_not_made_up_for(self) -> None:
        apia = ZoneInfo("Pacific/Apia")
        new_year = datetime(2011, 12, 29, 10, tzinfo=UTC), datetime(2011, 12, 31, 10, tzinfo=UTC)

        assert minutes_due("0 9 * * *", *new_year, apia) == ["29 09:00-1000", "31 09:00+1400"]


class TestWhenClocksGoBack:
    """25 October 2026 in Amsterdam: 03:00 is 02:00 again."""

    night = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)

    def test_a_time_that_comes_twice_fires_once(self) -> None:
        assert minutes_due("30 2 * * *", *self.night, AMSTERDAM) == ["25 02:30+0200"]

    def test_a_schedule_with_a_star_goes_by_the_clock(self) -> None:
        assert minutes_due("30 * * * *", *self.night, AMSTERDAM)[2:4] == ["25 02:30+0200", "25 02:30+0100"]
        assert len(minutes_due("0 * * * *", *self.night, AMSTERDAM)) == 25

    def test_half_an_hour_may_come_twice(self) -> None:
        lord_howe = ZoneInfo("Australia/Lord_Howe")
        night = datetime(2026, 4, 4, 13, tzinfo=UTC), datetime(2026, 4, 5, 13, tzinfo=UTC)

        assert minutes_due("45 1 * * *", *night, lord_howe) == ["05 01:45+1100"]


def test_without_a_zone_the_clock_of_the_event_counts() -> None:
    ten_past_one = datetime.fromisoformat("2021-06-07T13:10:00+02:00")

    assert cron.is_due(cron.parse("10 13 * * *"), ten_past_one)
    assert not cron.is_due(cron.parse("10 11 * * *"), ten_past_one)
    assert cron.is_due(cron.parse("10 11 * * *"), ten_past_one, ZoneInfo("UTC"))


@given(st.datetimes(), st.sampled_from([None, AMSTERDAM, ZoneInfo("Pacific/Apia")]))
def test_every_minute_is_due_when_all_are(time: datetime, zone: ZoneInfo | None) -> None:
    assert cron.is_due(cron.parse("* * * * *"), time, zone) or time.year in {1, 9999}


@given(st.text(alphabet="0123456789*?/,-+@everydaily mhsMONjanLW#", max_size=40))
def test_any_text_is_a_schedule_or_an_error_of_its_own(text: str) -> None:
    with suppress(cron.CronError):
        cron.parse(text)
