"""How many minutes a tick comes late: because it was told late, or because the planner was away."""

from datetime import UTC, datetime, timedelta

import pytest
from estafette_common.bus.messages.events import CronTicked
from manifest_planner.lateness import Told, minutes_late

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def tick(minute: float, *, told: float, late: int = 0) -> Told:
    """Return a tick of so many minutes after noon, told so many after noon."""
    return Told(CronTicked(time=NOON + timedelta(minutes=minute), late=late), NOON + timedelta(minutes=told))


@pytest.mark.parametrize(
    ("this", "last", "late"),
    [
        pytest.param(tick(0, told=0), None, 0, id="the stream forgot all ticks"),
        pytest.param(tick(0, told=0), tick(0, told=0), 0, id="in time"),
        pytest.param(tick(0, told=0), tick(1, told=1), 1, id="the next minute was there before"),
        pytest.param(tick(0, told=0), tick(180, told=180), 180, id="the planner was away"),
        pytest.param(tick(0, told=180, late=180), tick(0, told=180, late=180), 180, id="cron-sender was away"),
        pytest.param(tick(5, told=180.1, late=175), tick(180, told=180.2), 175, id="and told the rest meanwhile"),
        pytest.param(tick(0, told=0), tick(9, told=180, late=171), 180, id="the planner, and then cron-sender"),
        pytest.param(tick(9, told=0), tick(2000, told=0.1), 0, id="recorded ticks that are told again at once"),
    ],
)
def test_lateness(this: Told, last: Told | None, late: int) -> None:
    assert minutes_late(this, last) == late
