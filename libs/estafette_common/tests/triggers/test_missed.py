"""What becomes of scheduled minutes that came while nobody looked at the clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from estafette_common.triggers import cron
from estafette_common.triggers.events import CronEvent
from estafette_common.triggers.matching import matches
from estafette_common.triggers.model import BuildAction, CronTrigger, Trigger
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
AMSTERDAM = "Europe/Amsterdam"
SPRING = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
"""Half an hour before 02:00 is 03:00 in Amsterdam."""
AUTUMN = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
"""Half an hour before it is 02:00 for the first time in Amsterdam; again an hour later."""
OUTAGE = 180


def made_up_for(trigger: CronTrigger, begin: datetime, minutes: int = OUTAGE) -> list[str]:
    """Return the minutes for which a trigger fires when an outage ends, the present one included."""
    events = [CronEvent(begin + timedelta(minutes=count), minutes - count) for count in range(1, minutes + 1)]
    return [f"{event.time:%H:%M}" for event in events if matches(Trigger(trigger, BuildAction()), event).fires]


@pytest.mark.parametrize(
    ("schedule", "in_all", "once", "present"),
    [
        pytest.param("0 * * * *", ["13:00", "14:00", "15:00"], ["15:00"], ["15:00"], id="each hour, now as well"),
        pytest.param("30 * * * *", ["12:30", "13:30", "14:30"], ["14:30"], [], id="each hour, not now"),
        pytest.param("0 14 * * *", ["14:00"], ["14:00"], [], id="once a day, and missed"),
        pytest.param("0 15 * * *", ["15:00"], ["15:00"], ["15:00"], id="once a day, and that is now"),
        pytest.param("0 12,16 * * *", [], [], [], id="only before and after"),
        pytest.param("@every 1h", ["13:00", "14:00", "15:00"], ["15:00"], ["15:00"], id="an interval"),
    ],
)
def test_an_outage_of_three_hours(schedule: str, in_all: list[str], once: list[str], present: list[str]) -> None:
    assert made_up_for(CronTrigger(schedule, missed="all"), NOON) == in_all
    assert made_up_for(CronTrigger(schedule, missed="once"), NOON) == once
    assert made_up_for(CronTrigger(schedule), NOON) == once
    assert made_up_for(CronTrigger(schedule, missed="none"), NOON) == present


@pytest.mark.parametrize(
    ("schedule", "in_all", "once"),
    [
        pytest.param("30 2 * * *", ["01:00"], ["01:00"], id="a time that is left out comes right after"),
        pytest.param("0,30 2,3 * * *", ["01:00", "01:30"], ["01:30"], id="a time that is there stands for the others"),
        pytest.param("*/20 2 * * *", [], [], id="one with a star is left out"),
    ],
)
def test_an_outage_while_clocks_go_forward(schedule: str, in_all: list[str], once: list[str]) -> None:
    assert made_up_for(CronTrigger(schedule, AMSTERDAM, "all"), SPRING) == in_all
    assert made_up_for(CronTrigger(schedule, AMSTERDAM, "once"), SPRING) == once
    assert made_up_for(CronTrigger(schedule, AMSTERDAM, "none"), SPRING) == []


@pytest.mark.parametrize(
    ("schedule", "in_all", "once"),
    [
        pytest.param("30 2 * * *", ["00:30"], ["00:30"], id="a time that comes twice is made up for once"),
        pytest.param("30 * * * *", ["00:30", "01:30", "02:30"], ["02:30"], id="each hour goes by the clock"),
    ],
)
def test_an_outage_while_clocks_go_back(schedule: str, in_all: list[str], once: list[str]) -> None:
    begin = AUTUMN + timedelta(minutes=15)

    assert made_up_for(CronTrigger(schedule, AMSTERDAM, "all"), begin, OUTAGE) == in_all
    assert made_up_for(CronTrigger(schedule, AMSTERDAM, "once"), begin, OUTAGE) == once


def test_what_is_not_made_up_for_says_so() -> None:
    def reason(missed: str) -> str:
        return matches(Trigger(CronTrigger("0 * * * *", missed=missed), BuildAction()), CronEvent(NOON, OUTAGE)).reason

    assert reason("none") == "2026-03-04 12:00+00:00 was missed, and is not made up for"
    assert reason("once") == "2026-03-04 12:00+00:00 was missed, and 2026-03-04 13:00 stands for it"
    assert reason("all") == "2026-03-04 12:00+00:00 is a minute of '0 * * * *'"


@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from(["*/7 * * * *", "30 2 * * *", "0,30 2,3 * * *"]))
def test_the_minutes_between_two_are_none_lost_and_none_doubled_wherever_they_are_cut(
    first: int, second: int, schedule: str
) -> None:
    parsed, zone = cron.parse(schedule), ZoneInfo(AMSTERDAM)
    for begin in (SPRING, AUTUMN):
        middle = begin + timedelta(minutes=first)

        parts = [*cron.due_since(parsed, begin, first, zone), *cron.due_since(parsed, middle, second, zone)]

        assert parts == list(cron.due_since(parsed, begin, first + second, zone))
