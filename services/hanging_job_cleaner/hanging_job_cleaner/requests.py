"""What the bus knows of requests and jobs."""

from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.commands import Rebuild, StartBot, StartBuild, StartRelease
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.jobs import JobFailedToStart, JobFinished, JobGone, JobRequested
from estafette_common.bus.messages.message import Message
from estafette_common.bus.messages.triggers import Fire
from estafette_common.bus.subjects import fill, stream_of
from estafette_common.jobs.lifecycle import Kind
from nats.js.errors import NotFoundError

from hanging_job_cleaner.reconciling import Told

BEFORE_A_JOB: tuple[tuple[type[Message], str], ...] = (
    (JobRequested, "dispatcher-job-requested"),
    (GitPushed, "planner-git-push"),
    (Fire, "planner-fire"),
    (StartBuild, "planner-build-start"),
    (Rebuild, "planner-build-rebuild"),
    (StartRelease, "planner-release-start"),
    (StartBot, "planner-bot-start"),
)
"""What leads to a job, and the consumer by which the planner or the dispatcher takes it."""

ENDS = (JobFinished, JobFailedToStart, JobGone)
"""What is told of a job when it ended."""


class Requests:
    """Reads the state of consumers and of the stream of jobs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def are_waiting(self) -> bool:
        """Return whether something that leads to a job waits for the planner or the dispatcher.

        Raises nats errors, also when there is no such consumer yet.
        """
        for message, durable in BEFORE_A_JOB:
            info = await self._bus.jetstream.consumer_info(stream_of(message.SUBJECT), durable)
            if info.num_pending or info.num_ack_pending:
                return True
        return False

    async def last_told(self, kind: Kind, job_id: str) -> Told | None:
        """Return the last message of the job in the stream, or nothing when it was never requested."""
        ends = {fill(end.SUBJECT, kind=kind, job_id=job_id) for end in ENDS}
        every = fill(JobRequested.SUBJECT, kind=kind, job_id=job_id).rpartition(".")[0] + ".>"
        try:
            message = await self._bus.jetstream.get_last_msg(stream_of(every), every)
        except NotFoundError:
            return None
        return Told(at=message.time, is_end=message.subject in ends) if message.time else None
