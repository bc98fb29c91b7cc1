"""What the runtime sees of its jobs in, what became of them out; and another attempt where one is due."""

import asyncio
from datetime import UTC, datetime

import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.jobs import JobLost, JobWaiting
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.runtimes import JobRefusedError, JobRuntime, Loss, NotYetError, RuntimeUnavailableError, Seen
from estafette_common.manifest.secrets import SecretError
from estafette_common.service import Background
from prometheus_client import Counter

from job_dispatcher.history import History
from job_dispatcher.losing import PASSING, is_heard, outcome_of, why_no_other
from job_dispatcher.starting import Starter

log = structlog.get_logger()

LOSSES = Counter("estafette_job_losses_total", "Attempts that were lost.", ["loss", "again"])

ENDED = frozenset({Loss.CRASHED, Loss.EVICTED, Loss.OUT_OF_MEMORY, Loss.DEADLINE})
"""Losses that end a job in its runtime, where it stays for people to look at."""

AGAIN_AFTER = 5.0
"""Seconds before a runtime that cannot be watched is tried again."""


class Following(Background):
    """A part of the service: watches the runtime. Every replica does, and all of them do the same."""

    def __init__(
        self, runtime: JobRuntime, starter: Starter, history: History, bus: Publisher, *, most_attempts: int
    ) -> None:
        self._runtime = runtime
        self._starter = starter
        self._history = history
        self._bus = bus
        self._most_attempts = most_attempts

    async def ready(self) -> bool:
        """Return whether it can go on; a runtime that sees to its jobs itself is not watched."""
        return True

    async def waits(self, seen: Seen) -> None:
        """Tell why a job does not run yet."""
        waiting = JobWaiting(
            kind=Kind(seen.kind), job_id=seen.job_id, attempt=seen.attempt, state=seen.state, reason=seen.reason
        )
        await self._bus.publish(waiting, id=identity.derive(seen.name, f"waiting/{seen.state}/{seen.reason}"))

    async def lost(self, seen: Seen) -> None:
        """Begin another attempt if one is due, and tell of the loss; then nothing of the lost one is left running.

        In this order a crash between any two loses nothing, and whoever does it again meets the same names and ids.
        """
        kind, job_id = Kind(seen.kind), seen.job_id
        if await self._history.is_canceled(kind, job_id):
            return  # its pod goes because it shall
        if not await self._history.is_over(kind, job_id):
            known = await self._history.last_loss(kind, job_id)
            if known is None or known.attempt < seen.attempt:
                await self._settle(kind, seen)
        if seen.state not in ENDED:
            await self._runtime.remove(seen.name)

    async def _settle(self, kind: Kind, seen: Seen) -> None:
        loss, attempt = Loss(seen.state), seen.attempt
        if loss is Loss.NODE:
            heartbeat = await self._history.last_heartbeat(kind, seen.job_id)
            if is_heard(heartbeat, attempt=attempt, now=datetime.now(UTC)):
                raise NotYetError(f"{seen.reason}, but its builder is")
        obstacle = await self._begin_next(kind, seen, loss)
        lost = JobLost(
            kind=kind,
            job_id=seen.job_id,
            attempt=attempt,
            loss=loss,
            outcome=outcome_of(loss),
            again=not obstacle,
            reason=f"{seen.reason}; {obstacle}" if obstacle and loss in PASSING else seen.reason,
        )
        await self._bus.publish(lost, id=identity.derive(seen.name, "lost"))
        log.warning("attempt lost", job=seen.name, attempt=attempt, loss=loss, reason=seen.reason, obstacle=obstacle)
        LOSSES.labels(loss, str(not obstacle).lower()).inc()

    async def _begin_next(self, kind: Kind, seen: Seen, loss: Loss) -> str:
        """Start the next attempt; returns why there is none, if so."""
        request = await self._history.request(kind, seen.job_id)
        if request is None:
            return "its request is not kept any more"
        begun_before = await self._history.last_start(kind, seen.job_id)
        obstacle = why_no_other(
            request.plan,
            loss,
            measured=request.measured,
            attempt=seen.attempt,
            began=begun_before > 0,
            most_attempts=self._most_attempts,
        )
        if obstacle:
            return obstacle
        try:
            name = await self._starter.start(request, attempt=seen.attempt + 1, begun_before=begun_before)
        except (JobRefusedError, SecretError) as error:
            return f"another attempt cannot start: {error}"
        if await self._history.is_canceled(kind, seen.job_id):  # meanwhile; nobody else may have seen it yet
            await self._runtime.remove(name)
        return ""

    async def _run(self) -> None:
        while True:
            try:
                return await self._runtime.watch(self)
            except RuntimeUnavailableError as error:
                log.warning("cannot watch now", error=str(error))
            except Exception:
                log.exception("watching failed")
            await asyncio.sleep(AGAIN_AFTER)
