"""Telling the bus of the job's life: started, stages, heartbeats, finished."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.jobs import JobFinished, JobHeartbeat, JobStarted, StageChanged
from estafette_common.bus.messages.message import Message
from estafette_common.bus.publishing import NotStoredError, Publisher
from estafette_common.jobs.lifecycle import Outcome, StageStatus
from estafette_common.jobs.plan import Plan
from estafette_common.jobs.usage import Usage

from builder.masking import Masker
from builder.places import Place

log = structlog.get_logger()

AGAIN_AFTER = 0.5
"""Seconds before something that must be told is told again."""


class Reporter:
    """Tells of one attempt of a job, without secrets. What is told is queued and goes out in order."""

    def __init__(self, publisher: Publisher, plan: Plan, *, attempt: int, masker: Masker) -> None:
        self._publisher = publisher
        self._plan = plan
        self._attempt = attempt
        self._mask = masker
        self._queue: asyncio.Queue[tuple[Message, str]] = asyncio.Queue()
        self._beats = 0

    def started(self) -> None:
        """Tell that this attempt began."""
        self._tell(self._started(), "started")

    async def claim(self, after: int) -> None:
        """Tell that this attempt began, unless one began after that sequence. Raises NotNextError."""
        message, own_id = self._started(), self._id(f"started/{uuid4()}")
        while True:
            try:
                await self._publisher.publish(message, id=own_id, after=after)
            except NotStoredError as error:
                log.warning("the start waits for NATS", error=str(error))
                await asyncio.sleep(AGAIN_AFTER)
            else:
                return

    def stage(
        self, place: Place, status: StageStatus, *, seconds: float | None = None, exit_code: int | None = None
    ) -> None:
        """Tell that a stage changed."""
        message = StageChanged(
            **self._job,
            **place._asdict(),
            attempt=self._attempt,
            status=status,
            time=datetime.now(UTC),
            duration=seconds,
            exit_code=exit_code,
        )
        self._tell(message, f"stage/{'/'.join(map(str, place))}/{status}")

    def finished(self, outcome: Outcome, reason: str, usage: Usage | None) -> None:
        """Tell that the job came to its end, and what it took at most, where that is known."""
        message = JobFinished(
            **self._job,
            attempt=self._attempt,
            outcome=outcome,
            time=datetime.now(UTC),
            reason=self._mask(reason),
            usage=usage,
        )
        self._tell(message, "finished")

    async def drain(self) -> None:
        """Wait until everything is told."""
        await self._queue.join()

    async def run(self) -> None:
        """Tell what is queued, for ever; NATS may go away and come back meanwhile."""
        while True:
            message, purpose = await self._queue.get()
            while True:
                try:
                    await self._publisher.publish(message, id=self._id(purpose))
                    break
                except NotStoredError as error:
                    log.warning("report waits for NATS", purpose=purpose, error=str(error))
                    await asyncio.sleep(AGAIN_AFTER)
            self._queue.task_done()

    async def beat(self, every: float) -> None:
        """Give a sign of life now and then, for ever. One that cannot be told is left out."""
        while True:
            await asyncio.sleep(every)
            self._beats += 1
            message = JobHeartbeat(**self._job, attempt=self._attempt, time=datetime.now(UTC))
            with suppress(NotStoredError):
                await self._publisher.publish(message, id=self._id(f"heartbeat/{self._beats}"))

    def _started(self) -> JobStarted:
        return JobStarted(**self._job, attempt=self._attempt, time=datetime.now(UTC))

    @property
    def _job(self) -> dict[str, str]:
        return {"kind": self._plan.kind, "job_id": self._plan.job_id}

    def _tell(self, message: Message, purpose: str) -> None:
        self._queue.put_nowait((message, purpose))

    def _id(self, purpose: str) -> str:
        return identity.derive(f"{self._plan.job_id}/{self._attempt}", purpose)
