"""The life of jobs in, the state of builds, releases and bots out: forward only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Lose
from estafette_common.bus.messages.jobs import (
    JobCancel,
    JobDispatched,
    JobFailedToStart,
    JobFinished,
    JobGone,
    JobHeartbeat,
    JobLost,
    JobStarted,
    JobWaiting,
)
from estafette_common.bus.messages.message import Cause, Message
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Kind, Outcome, Status
from estafette_common.jobs.runtimes import Loss
from estafette_common.jobs.usage import Usage

from manifest_planner.lives import About, Life
from manifest_planner.telling import control_log


class Jobs(Protocol):
    """Where the jobs of one kind are kept."""

    async def dispatched(self, job_id: str, at: datetime, *, runtime: str) -> None:
        """Note that a runtime took the job."""
        ...

    async def heartbeat(self, job_id: str, *, attempt: int, at: datetime) -> None:
        """Note a sign of life of an attempt."""
        ...

    async def started(self, job_id: str, *, attempt: int, at: datetime) -> Life | None:
        """Note that an attempt began; returns the job as it is then."""
        ...

    async def waiting(self, job_id: str, *, attempt: int, reason: str) -> None:
        """Note why an attempt does not run yet."""
        ...

    async def lost_attempt(self, job_id: str, *, attempt: int, reason: str) -> None:
        """Note that an attempt is lost and the next one was begun."""
        ...

    async def cancel(self, job_id: str, *, at: datetime, reason: str) -> Life | None:
        """Let the job end; returns it as it is then."""
        ...

    async def finished(
        self, job_id: str, outcome: Outcome, *, at: datetime, attempt: int | None = None, reason: str = ""
    ) -> bool:
        """End the job; returns whether it ended so."""
        ...

    async def took(self, job_id: str, usage: Usage) -> None:
        """Note the most that the job took."""
        ...

    async def ran_out_of_memory(self, job_id: str) -> None:
        """Note that an attempt ended for want of memory."""
        ...

    async def ends_with_its_runtime(self, job_id: str) -> bool:
        """Return whether the job shall end, and has when its runtime has nothing of it any more."""
        ...

    async def about(self, job_id: str) -> About | None:
        """Return what the job is about, or nothing where there is none."""
        ...

    async def told_at_end(self, job_id: str) -> Message | None:
        """Return what is told of a job that ended, or nothing where nobody is told."""
        ...


class Waiting(Protocol):
    """Those that may wait for a job to end."""

    async def left(self, kind: Kind, job_id: str) -> None:
        """Let others begin where a job ended."""
        ...


class Follower:
    """Keeps builds, releases and bots up with their jobs."""

    def __init__(self, jobs: Mapping[Kind, Jobs], waiting: Waiting, bus: Publisher) -> None:
        self._jobs = jobs
        self._waiting = waiting
        self._bus = bus

    async def on_dispatched(self, dispatched: JobDispatched, cause: Cause) -> None:
        """Note that a runtime took the job."""
        await self._jobs[dispatched.kind].dispatched(dispatched.job_id, cause.time, runtime=dispatched.runtime)

    async def on_started(self, started: JobStarted, cause: Cause) -> None:
        """Note that an attempt began. One that began too late to hear that it shall end is told again."""
        life = await self._jobs[started.kind].started(started.job_id, attempt=started.attempt, at=started.time)
        if life is not None and life.status is Status.CANCELING:
            cancel = JobCancel(kind=started.kind, job_id=started.job_id, reason=life.reason)
            await self._bus.publish(cancel, id=cause.derive("cancel"))

    async def on_waiting(self, waiting: JobWaiting, _: Cause) -> None:
        """Note why the job does not run yet."""
        await self._jobs[waiting.kind].waiting(waiting.job_id, attempt=waiting.attempt, reason=waiting.reason)

    async def on_lost(self, lost: JobLost, cause: Cause) -> None:
        """End the build, release or bot whose job went away, or note which attempt of it counts now."""
        kind, job_id, attempt = lost.kind, lost.job_id, lost.attempt
        if lost.loss == Loss.OUT_OF_MEMORY:
            await self._jobs[kind].ran_out_of_memory(job_id)
        if lost.again:
            reason = f"attempt {attempt} was lost: {lost.reason}"
            await self._jobs[kind].lost_attempt(job_id, attempt=attempt, reason=reason)
        else:
            ended = await self._jobs[kind].finished(
                job_id, lost.outcome, at=cause.time, attempt=attempt, reason=lost.reason
            )
            if ended:
                await self._explain(kind, job_id, "lost", lost.reason, lost.outcome, cause)

    async def on_heartbeat(self, heartbeat: JobHeartbeat, _: Cause) -> None:
        """Note a sign of life."""
        await self._jobs[heartbeat.kind].heartbeat(heartbeat.job_id, attempt=heartbeat.attempt, at=heartbeat.time)

    async def on_finished(self, finished: JobFinished, _: Cause) -> None:
        """End the build, release or bot as its job ended; what is canceled and has a pod ends with that."""
        if await self._jobs[finished.kind].ends_with_its_runtime(finished.job_id):
            return
        ended = await self._jobs[finished.kind].finished(
            finished.job_id, finished.outcome, at=finished.time, attempt=finished.attempt, reason=finished.reason
        )
        if ended and finished.usage is not None:
            await self._jobs[finished.kind].took(finished.job_id, finished.usage)
        if ended:
            await self._tell(finished.kind, finished.job_id)

    async def on_failed_to_start(self, failed: JobFailedToStart, cause: Cause) -> None:
        """End the build, release or bot whose job no runtime takes."""
        await self._end(failed.kind, failed.job_id, Outcome.LOST, "start", failed.reason, cause)

    async def on_lose(self, command: Lose, cause: Cause) -> None:
        """End the build, release or bot whose job went away, unless it ended meanwhile."""
        await self._end(command.kind, command.job_id, Outcome.LOST, "lost", command.reason, cause)

    async def on_gone(self, gone: JobGone, cause: Cause) -> None:
        """End the build, release or bot that was canceled and of which nothing is left."""
        await self._end(gone.kind, gone.job_id, Outcome.CANCELED, "cancel", gone.reason, cause)

    async def cancel(self, kind: Kind, job_id: str, reason: str, cause: Cause) -> Life | None:
        """Let a job end, and tell its builder; returns it as it is then, or nothing where there is none."""
        life = await self._jobs[kind].cancel(job_id, at=cause.time, reason=reason)
        if life is not None and life.status is Status.CANCELING:
            cancel = JobCancel(kind=kind, job_id=job_id, reason=life.reason)
            await self._bus.publish(cancel, id=identity.derive(job_id, "cancel"))
        elif life is not None and life.outcome is Outcome.CANCELED and not life.was_canceling:
            await self._explain(kind, job_id, "cancel", life.reason, Outcome.CANCELED, cause)
        return life

    async def _end(self, kind: Kind, job_id: str, outcome: Outcome, step: str, reason: str, cause: Cause) -> None:
        if await self._jobs[kind].finished(job_id, outcome, at=cause.time, reason=reason):
            await self._explain(kind, job_id, step, reason, outcome, cause)

    async def _explain(self, kind: Kind, job_id: str, step: str, reason: str, outcome: Outcome, cause: Cause) -> None:
        """Tell the end of a job in the place of its builder."""
        chunk = control_log(job_id, step, [reason], outcome=outcome, at=cause.time, kind=kind)
        await self._bus.publish(chunk, id=chunk.id)
        await self._tell(kind, job_id)

    async def _tell(self, kind: Kind, job_id: str) -> None:
        told = await self._jobs[kind].told_at_end(job_id)
        if told is not None:
            await self._bus.publish(told, id=identity.derive(job_id, identity.FINISHED))
        await self._waiting.left(kind, job_id)
