"""Looks now and then whether builds and jobs agree, and mends it where they do not."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import nats.errors
import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Lose
from estafette_common.bus.publishing import NotStoredError, Publisher
from estafette_common.jobs.runtimes import JobRuntime, RuntimeUnavailableError
from estafette_common.service import Background
from prometheus_client import Counter

from hanging_job_cleaner.builds import Builds
from hanging_job_cleaner.reconciling import Limits, Lost, Remove, reconcile, silent
from hanging_job_cleaner.requests import Requests

log = structlog.get_logger()

ACTIONS = Counter("estafette_cleaned_total", "What was mended.", ["action"])

UNREACHABLE = (
    RuntimeUnavailableError,
    NotStoredError,
    nats.errors.Error,
    TimeoutError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)
"""A part that cannot be asked: this look is skipped, and nothing is declared lost on a guess."""


class Cleaner(Background):
    """A part of the service: looks every `interval` seconds. Several replicas do no harm."""

    def __init__(
        self,
        builds: Builds,
        runtime: JobRuntime,
        requests: Requests,
        bus: Publisher,
        *,
        limits: Limits,
        interval: float,
    ) -> None:
        self._builds = builds
        self._runtime = runtime
        self._requests = requests
        self._bus = bus
        self._limits = limits
        self._interval = interval

    async def stop(self) -> None:
        """Stop looking, and let go of the runtime."""
        await super().stop()
        await self._runtime.close()

    async def look(self) -> None:
        """Look once, and mend what is wrong."""
        # In this order: once no request waits, the jobs of all that were handled are there to be listed.
        waiting = await self._requests.are_waiting()
        jobs = await self._runtime.jobs()
        builds = await self._builds.active_or_among([job.job_id for job in jobs])
        now = datetime.now(UTC)
        told = {
            each.id: await self._requests.last_told(each.kind, each.id) for each in silent(builds, now, self._limits)
        }
        actions = reconcile(builds, jobs, told=told, requests_waiting=waiting, now=now, limits=self._limits)
        for action in actions:
            await self._do(action)

    async def _do(self, action: Lost | Remove) -> None:
        match action:
            case Lost(build_id, reason, kind):
                log.warning("job lost", kind=kind, job=build_id, reason=reason)
                command = Lose(kind=kind, job_id=build_id, reason=reason)
                await self._bus.publish(command, id=identity.derive(build_id, "lose"))
            case Remove(name, reason):
                log.info("job removed", job=name, reason=reason)
                await self._runtime.remove(name)
        ACTIONS.labels(type(action).__name__.lower()).inc()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except UNREACHABLE as error:
                log.warning("cannot look now", error=repr(error))
            except Exception:
                log.exception("looking failed")
