"""Canceled jobs in, the certainty that nothing of them is left out."""

from datetime import UTC, datetime

import structlog
from estafette_common.bus.delivery import TemporaryError
from estafette_common.bus.messages.jobs import JobCancel, JobGone
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.runtimes import JobRuntime, RuntimeUnavailableError

from job_dispatcher.history import History

log = structlog.get_logger()

LOOK_AGAIN = 1.0
"""Seconds until a runtime is asked again whether a job that it removes is gone."""


class Ender:
    """Sees canceled jobs to their end where there is no builder to do it, or none that answers."""

    def __init__(self, runtime: JobRuntime, history: History, bus: Publisher, *, grace: float) -> None:
        """Give builders `grace` seconds to end by themselves."""
        self._runtime = runtime
        self._history = history
        self._bus = bus
        self._grace = grace

    async def on_cancel(self, cancel: JobCancel, cause: Cause) -> None:
        """Tell that the job is gone once the runtime has none of its id; from now on no request starts it."""
        if await self._is_known_to_be_gone(cancel):
            return
        try:
            reason = await self._end(cancel, since=(datetime.now(UTC) - cause.time).total_seconds())
        except RuntimeUnavailableError as error:
            raise TemporaryError(str(error)) from error
        gone = JobGone(kind=cancel.kind, job_id=cancel.job_id, reason=reason)
        await self._bus.publish(gone, id=cause.derive("gone"))
        log.info("canceled job is gone", kind=cancel.kind, job=cancel.job_id, reason=reason)

    async def _end(self, cancel: JobCancel, *, since: float) -> str:
        """Return how the job went; TemporaryError while something of it is left."""
        attempts = await self._runtime.find(cancel.kind, cancel.job_id)
        told = await self._history.is_over(cancel.kind, cancel.job_id)
        if not attempts:
            return "nothing of it is left" if told or since > self._grace else "it was not started"
        if any(job.alive for job in attempts) and since < self._grace:
            raise TemporaryError("its builder may end by itself", delay=min(self._grace - since, LOOK_AGAIN))
        for job in attempts:
            await self._runtime.remove(job.name)
        if await self._runtime.find(cancel.kind, cancel.job_id):
            raise TemporaryError("the runtime still removes it", delay=LOOK_AGAIN)
        return "its builder ended" if told else "its builder did not end by itself, so its job was removed"

    async def _is_known_to_be_gone(self, cancel: JobCancel) -> bool:
        if self._runtime.outlives_builders:
            return await self._history.is_gone(cancel.kind, cancel.job_id)
        return await self._history.is_over(cancel.kind, cancel.job_id)
