"""Requested jobs in, running jobs out."""

import structlog
from estafette_common.bus.delivery import TemporaryError
from estafette_common.bus.messages.jobs import JobDispatched, JobFailedToStart, JobRequested
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.runtimes import JobRefusedError, JobRuntime, RuntimeUnavailableError
from estafette_common.manifest.secrets import SecretError

from job_dispatcher.history import History
from job_dispatcher.starting import Starter

log = structlog.get_logger()


class Dispatcher:
    """Hands jobs to the runtime. A part of the service, for the runtime is closed with it."""

    def __init__(self, runtime: JobRuntime, starter: Starter, history: History, bus: Publisher) -> None:
        self._runtime = runtime
        self._starter = starter
        self._history = history
        self._bus = bus

    async def start(self) -> None:
        """Nothing is to be begun."""

    async def stop(self) -> None:
        """Close the runtime."""
        await self._runtime.close()

    async def ready(self) -> bool:
        """Return whether it takes requests; those for a runtime that is away wait in the stream."""
        return True

    async def on_requested(self, request: JobRequested, cause: Cause) -> None:
        """Start the job unless it is there, ended, or is canceled: a request that comes late starts nothing."""
        kind, job_id = request.kind, request.job_id
        if await self._history.is_settled(kind, job_id):
            log.info("job had ended already", job=request.plan.job_name)
            return
        try:
            name = await self._starter.start(request)
            if await self._history.is_canceled(kind, job_id):  # meanwhile; nobody else may have seen it yet
                await self._runtime.remove(name)
                return
        except RuntimeUnavailableError as error:
            raise TemporaryError(str(error)) from error
        except (JobRefusedError, SecretError) as error:
            log.warning("job refused", job=request.plan.job_name, reason=str(error))
            refused = JobFailedToStart(kind=request.kind, job_id=request.job_id, reason=str(error))
            await self._bus.publish(refused, id=cause.derive("failed-to-start"))
            return
        dispatched = JobDispatched(kind=kind, job_id=job_id, runtime=self._runtime.name, name=name)
        await self._bus.publish(dispatched, id=cause.derive("dispatched"))
        log.info("job dispatched", job=name, runtime=self._runtime.name)
