"""What the bus knows of requests and jobs."""

from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.jobs import JobFailedToStart, JobFinished, JobGone, JobRequested
from estafette_common.bus.subjects import fill, stream_of
from estafette_common.jobs.lifecycle import Kind
from nats.js.errors import NotFoundError

from hanging_job_cleaner.reconciling import Told

PLANNER = "planner-git-push"
"""The consumer by which the planner takes pushes."""

DISPATCHER = "dispatcher-job-requested"
"""The consumer by which the dispatcher takes requests."""


ENDS = (JobFinished, JobFailedToStart, JobGone)
"""What is told of a job when it ended."""


class Requests:
    """Reads the state of the dispatcher's consumer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def are_waiting(self) -> bool:
        """Return whether a push waits for the planner or a request for the dispatcher; so may a build's job.

        Raises nats errors, also when there is no such consumer yet.
        """
        for message, durable in ((JobRequested, DISPATCHER), (GitPushed, PLANNER)):
            info = await self._bus.jetstream.consumer_info(stream_of(message.SUBJECT), durable)
            if info.num_pending or info.num_ack_pending:
                return True
        return False

    async def last_told(self, build_id: str) -> Told | None:
        """Return the last message of the build's job in the stream, or nothing when it was never requested."""
        ends = {fill(end.SUBJECT, kind=Kind.BUILD, job_id=build_id) for end in ENDS}
        every = fill(JobRequested.SUBJECT, kind=Kind.BUILD, job_id=build_id).rpartition(".")[0] + ".>"
        try:
            message = await self._bus.jetstream.get_last_msg(stream_of(every), every)
        except NotFoundError:
            return None
        return Told(at=message.time, is_end=message.subject in ends) if message.time else None
