"""cron-sender by a clock that is ahead: `cron_by_clock.py FILE`, where the file says by how many seconds.

All of it is the service's own but for the time, which the service takes from outside in any case.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cron_sender.clock import Clock
from cron_sender.settings import Settings
from estafette_common import service
from estafette_common.bus.bus import Bus

AHEAD = Path(sys.argv[1])


def now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(AHEAD.read_text() or 0))


if __name__ == "__main__":
    settings = Settings()
    bus = Bus(
        settings.nats_url, source="cron-sender", credentials=settings.nats_credentials, grace=settings.shutdown_grace
    )
    clock = Clock(bus, catch_up=settings.cron_catch_up, now=now)
    service.run(service.application(bus, clock), name="cron-sender", settings=settings)
