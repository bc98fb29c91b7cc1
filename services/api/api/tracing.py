"""What a delivery led to: decisions, the jobs they began, and what those events led to in turn."""

from collections.abc import Iterable
from typing import Any

import nats.errors
import nats.js.errors
from estafette_common.bus import identity
from estafette_common.bus.bus import Bus
from estafette_common.bus.finding import Found, find

from api.decisions import MOST, Decisions


class Tracer:
    """Follows events by the ids that derive from each other."""

    def __init__(self, decisions: Decisions, bus: Bus) -> None:
        self._decisions = decisions
        self._bus = bus

    async def led_to(self, delivery: str) -> list[Any]:
        """Return every decision that a delivery led to, oldest first."""
        seen: dict[str, Any] = {}
        causes = set(identity.heard_in(delivery))
        asked: set[str] = set()
        while causes and len(seen) < MOST:
            asked |= causes
            rows = [row for row in await self._decisions.of_causes(sorted(causes)) if row["id"] not in seen]
            seen |= {row["id"]: row for row in rows}
            causes = _told_by(rows) - asked
        begun = {row["job_id"] for row in seen.values() if row["job_id"]}
        later = await self._decisions.of_jobs(sorted(begun)) if begun else []
        seen |= {row["id"]: row for row in later}
        return sorted(seen.values(), key=lambda row: (row["decided_at"], row["id"]))

    async def heard(self, delivery: str) -> Found | None:
        """Return the stored event of a delivery, or nothing where none is kept. Raises ConnectionError."""
        try:
            found = await find(self._bus.jetstream, [delivery])
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise ConnectionError(f"NATS cannot be asked now: {error!r}") from error
        return found[0] if found else None


def _told_by(rows: Iterable[Any]) -> set[str]:
    """Return the ids of events by which decisions may go on: those of the jobs that they began."""
    return {
        event
        for row in rows
        if row["job_id"]
        for event in identity.followers(row["cause_id"], decision=row["id"], job=row["job_id"])
    }
