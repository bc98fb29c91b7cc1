"""How many jobs there are in which state, and what pending ones wait for, as metrics."""

import asyncio

import structlog
from estafette_common.database.pool import AWAY, Database
from estafette_common.jobs import counting
from estafette_common.jobs.lifecycle import Status
from estafette_common.service import Background
from prometheus_client import Gauge

log = structlog.get_logger()

UNFINISHED = Gauge("estafette_jobs", "Jobs that have not ended.", ["kind", "status"])
PENDING = Gauge(
    "estafette_pending_jobs",
    "Jobs that are pending, by what for: others of their group, the dispatcher, or their first sign of life.",
    ["kind", "reason"],
)
OLDEST = Gauge("estafette_oldest_pending_seconds", "Age of the oldest pending job.", ["kind", "reason"])
ENDED = Gauge("estafette_ended_jobs_of_last_day", "Jobs made within 24 hours that ended.", ["kind", "outcome"])

COUNT_EVERY = 15.0
"""Seconds; as often as Prometheus usually asks."""


class Counts(Background):
    """Keeps the metrics of jobs. Several replicas tell the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self) -> None:
        """Count once. Raises what asyncpg does while the database is away."""
        unfinished, ended = await counting.unfinished(self._database), await counting.ended(self._database)
        for gauge in (UNFINISHED, PENDING, OLDEST, ENDED):
            gauge.clear()  # what there are none of any more
        for jobs in unfinished:
            UNFINISHED.labels(jobs.kind, jobs.status).inc(jobs.count)
            if jobs.status == Status.PENDING:
                PENDING.labels(jobs.kind, jobs.reason).set(jobs.count)
                OLDEST.labels(jobs.kind, jobs.reason).set(jobs.age)
        for done in ended:
            ENDED.labels(done.kind, done.outcome).set(done.count)

    async def _run(self) -> None:
        while True:
            try:
                await self.count()
            except AWAY as error:
                log.debug("jobs could not be counted", error=repr(error))
            except Exception:
                log.exception("jobs could not be counted")
            await asyncio.sleep(COUNT_EVERY)
