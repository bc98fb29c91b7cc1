"""The life of jobs in, the state of builds out: forward only."""

from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Lose
from estafette_common.bus.messages.events import PipelineChanged, PipelineEvent
from estafette_common.bus.messages.jobs import JobDispatched, JobFailedToStart, JobFinished, JobHeartbeat, JobStarted
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import Repository

from manifest_planner.builds import Builds
from manifest_planner.planning import BuildRow
from manifest_planner.telling import control_log


class Follower:
    """Keeps builds up with their jobs."""

    def __init__(self, builds: Builds, bus: Publisher) -> None:
        self._builds = builds
        self._bus = bus

    async def on_dispatched(self, dispatched: JobDispatched, cause: Cause) -> None:
        """Note that a runtime took the job."""
        await self._builds.dispatched(dispatched.job_id, cause.time)

    async def on_started(self, started: JobStarted, _: Cause) -> None:
        """Note that an attempt began."""
        await self._builds.started(started.job_id, attempt=started.attempt, at=started.time)

    async def on_heartbeat(self, heartbeat: JobHeartbeat, _: Cause) -> None:
        """Note a sign of life."""
        await self._builds.heartbeat(heartbeat.job_id, attempt=heartbeat.attempt, at=heartbeat.time)

    async def on_finished(self, finished: JobFinished, _: Cause) -> None:
        """End the build as its job ended."""
        build = await self._builds.finished(
            finished.job_id, finished.outcome, at=finished.time, attempt=finished.attempt, reason=finished.reason
        )
        if build is not None:
            await self._tell(build, finished.outcome, finished.reason)

    async def on_failed_to_start(self, failed: JobFailedToStart, cause: Cause) -> None:
        """End the build whose job no runtime takes."""
        await self._lose(failed.job_id, "start", failed.reason, cause)

    async def on_lose(self, command: Lose, cause: Cause) -> None:
        """End the build whose job went away, unless it ended meanwhile."""
        await self._lose(command.job_id, "lost", command.reason, cause)

    async def _lose(self, build_id: str, step: str, reason: str, cause: Cause) -> None:
        build = await self._builds.finished(build_id, Outcome.LOST, at=cause.time, reason=reason)
        if build is None:
            return
        chunk = control_log(build_id, step, [reason], outcome=Outcome.LOST, at=cause.time)
        await self._bus.publish(chunk, id=chunk.id)
        await self._tell(build, Outcome.LOST, reason)

    async def _tell(self, build: BuildRow, outcome: Outcome, reason: str) -> None:
        changed = PipelineChanged(
            event=PipelineEvent.FINISHED,
            build_id=build.id,
            repository=Repository(source=build.source, owner=build.owner, name=build.name),
            branch=build.branch,
            revision=build.revision,
            version=build.version,
            status=outcome.status,
            outcome=outcome,
            reason=reason,
            installation=build.installation,
        )
        await self._bus.publish(changed, id=identity.derive(build.id, "finished"))
