"""The last minute that was told, in the stream of events."""

import nats.errors
import nats.js.errors
from estafette_common.bus.bus import Bus
from estafette_common.bus.delivery import TemporaryError
from estafette_common.bus.messages.events import CronTicked
from estafette_common.bus.messages.message import Cause, Envelope
from estafette_common.bus.subjects import CRON_TICK, stream_of

from manifest_planner.lateness import Told, minutes_late


class Ticks:
    """Compares ticks with the last one."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def late(self, tick: CronTicked, cause: Cause) -> int:
        """Return how many minutes a tick comes late. TemporaryError."""
        return minutes_late(Told(tick, cause.time), await self._last())

    async def _last(self) -> Told | None:
        try:
            message = await self._bus.jetstream.get_last_msg(stream_of(CRON_TICK), CRON_TICK)
        except nats.js.errors.NotFoundError:
            return None
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise TemporaryError(f"last minute: {error!r}") from error
        headers = message.headers or {}
        tick = CronTicked.decode(message.data or b"", headers)
        return Told(tick, Envelope.from_headers(headers, default_id="", default_time=tick.time).time)
