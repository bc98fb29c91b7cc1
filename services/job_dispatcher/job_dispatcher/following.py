"""What the runtime sees of its jobs in, what became of them out; and another attempt where one is due."""

import asyncio

import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.jobs import JobLost, JobWaiting
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.runtimes import JobRefusedError, JobRuntime, Loss, RuntimeUnavailableError, Seen
from estafette_common.manifest.secrets import SecretError
from estafette_common.service import Background
from prometheus_client import Counter

from job_dispatcher.history import History
from job_dispatcher.losing import is_tried_again, outcome_of, reason_of
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
        loss = Loss(seen.state)
        begun_before = await self._history.last_start(kind, seen.job_id)
        reason, again = seen.reason, False
        if is_tried_again(kind, loss, attempt=seen.attempt, began=begun_before > 0, most_attempts=self._most_attempts):
            try:
                again = await self._begin_next(kind, seen, begun_before)
            except (JobRefusedError, SecretError) as error:
                reason = f"{reason}; another attempt cannot start: {error}"
        lost = JobLost(
            kind=kind,
            job_id=seen.job_id,
            attempt=seen.attempt,
            loss=loss,
            outcome=outcome_of(loss),
            again=again,
            reason=reason if again else reason_of(reason, attempt=seen.attempt),
        )
        await self._bus.publish(lost, id=identity.derive(seen.name, "lost"))
        log.warning("attempt lost", job=seen.name, attempt=seen.attempt, loss=loss, reason=seen.reason, again=again)
        LOSSES.labels(loss, again).inc()

    async def _begin_next(self, kind: Kind, seen: Seen, begun_before: int) -> bool:
        """Start the next attempt; returns whether the request of the job is still known."""
        request = await self._history.request(kind, seen.job_id)
        if request is None:
            return False
        name = await self._starter.start(request, attempt=seen.attempt + 1, begun_before=begun_before)
        if await self._history.is_canceled(kind, seen.job_id):  # meanwhile; nobody else may have seen it yet
            await self._runtime.remove(name)
        return True

    async def _run(self) -> None:
        while True:
            try:
                return await self._runtime.watch(self)
            except RuntimeUnavailableError as error:
                log.warning("cannot watch now", error=str(error))
            except Exception:
                log.exception("watching failed")
            await asyncio.sleep(AGAIN_AFTER)
