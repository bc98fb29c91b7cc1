"""Tells the minutes, each once and in order, however many replicas there are.

The stream is the memory: before telling, the last tick is read, and the next one is stored only if that is still the
last of its subject. Of two replicas one succeeds; one that slept learns what was told meanwhile.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import nats.errors
import structlog
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import CronTicked
from estafette_common.bus.publishing import NotNextError, NotStoredError
from estafette_common.bus.subjects import CRON_TICK, stream_of
from estafette_common.service import Background
from nats.js.errors import NotFoundError
from prometheus_client import Counter

from cron_sender.ticking import due, until_next_minute

log = structlog.get_logger()

TICKS = Counter("estafette_ticks_total", "Minutes told by this replica.")

AGAIN_AFTER = 1.0
"""Seconds before a tick that could not be told is tried again."""


class Clock(Background):
    """A part of the service: wakes at every minute."""

    def __init__(self, bus: Bus, *, catch_up: int, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._catch_up = catch_up
        self._now = now

    async def tell(self) -> datetime:
        """Tell every minute that is due and not told. Returns the time at which none was.

        Each is decided on the last tick and stored only right after it. Raises NotStoredError or nats errors when
        NATS is away.
        """
        while True:
            now = self._now()
            sequence, last = await self._last()
            minutes = due(last, now, catch_up=self._catch_up)
            if not minutes:
                return now
            with suppress(NotNextError):  # another replica told it meanwhile
                tick = CronTicked(time=minutes[0], late=len(minutes) - 1)
                await self._bus.publish(tick, id=f"tick/{tick.time:%Y-%m-%dT%H:%M}Z", after=sequence)
                TICKS.inc()

    async def _last(self) -> tuple[int, datetime | None]:
        """Return the sequence and the minute of the last tick; (0, nothing) when there is none."""
        try:
            message = await self._bus.jetstream.get_last_msg(stream_of(CRON_TICK), CRON_TICK)
        except NotFoundError:
            return 0, None
        return message.seq or 0, CronTicked.decode(message.data or b"", {}).time

    async def _run(self) -> None:
        while True:
            try:
                quiet = await self.tell()
                pause = max(0.0, until_next_minute(quiet) - (self._now() - quiet).total_seconds())
            except (NotStoredError, nats.errors.Error, TimeoutError) as error:
                log.warning("minute not told yet", error=repr(error))
                pause = AGAIN_AFTER
            except Exception:
                log.exception("minute not told yet")
                pause = AGAIN_AFTER
            await asyncio.sleep(pause)
