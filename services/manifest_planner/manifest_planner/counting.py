"""How many jobs there are in which state, and what pending ones wait for, as metrics. Read only."""

import asyncio

import structlog
from estafette_common.database.pool import AWAY, Database
from estafette_common.jobs.lifecycle import Kind
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
ENDED = Gauge("estafette_ended_jobs_of_last_day", "Jobs begun within 24 hours that ended.", ["kind", "outcome"])

COUNT_EVERY = 15.0
"""Seconds; as often as Prometheus usually asks."""

TABLES = {Kind.BUILD: "builds", Kind.RELEASE: "releases", Kind.BOT: "bots"}


class Counts(Background):
    """Keeps the metrics of jobs. Several replicas tell the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self) -> None:
        """Count once. Raises what asyncpg does while the database is away."""
        unfinished, ended = (
            await self._database.pool.fetch(UNFINISHED_JOBS),
            await self._database.pool.fetch(ENDED_JOBS),
        )
        for gauge in (UNFINISHED, PENDING, OLDEST, ENDED):
            gauge.clear()  # what there are none of any more
        for row in unfinished:
            UNFINISHED.labels(row["kind"], row["status"]).inc(row["count"])
            if row["status"] == "pending":
                PENDING.labels(row["kind"], row["reason"]).set(row["count"])
                OLDEST.labels(row["kind"], row["reason"]).set(row["age"])
        for row in ended:
            ENDED.labels(row["kind"], row["outcome"]).set(row["count"])

    async def _run(self) -> None:
        while True:
            try:
                await self.count()
            except AWAY as error:
                log.debug("jobs could not be counted", error=repr(error))
            except Exception:
                log.exception("jobs could not be counted")
            await asyncio.sleep(COUNT_EVERY)


UNFINISHED_JOBS = " UNION ALL ".join(
    f"""
    SELECT '{kind}' AS kind, status, reason, count(*) AS count,
        extract(epoch FROM now() - min(inserted_at))::FLOAT8 AS age
    FROM (
        SELECT status, inserted_at, CASE
            WHEN status <> 'pending' THEN ''
            WHEN waits_for <> '' THEN 'others'
            WHEN dispatched_at IS NULL THEN 'dispatch'
            ELSE 'start'
        END AS reason
        FROM {table} WHERE status IN ('pending', 'running', 'canceling')
    ) AS {table}_by_reason
    GROUP BY status, reason
    """  # noqa: S608  constants
    for kind, table in TABLES.items()
)

ENDED_JOBS = " UNION ALL ".join(
    f"""
    SELECT '{kind}' AS kind, COALESCE(outcome, status) AS outcome, count(*) AS count FROM {table}
    WHERE status IN ('succeeded', 'failed', 'canceled') AND inserted_at > now() - INTERVAL '1 day'
    GROUP BY COALESCE(outcome, status)
    """  # noqa: S608  constants
    for kind, table in TABLES.items()
)
