"""What still waits for the dispatcher."""

from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.subjects import JOB_FINISHED, fill, stream_of
from estafette_common.jobs.lifecycle import Kind
from nats.js.errors import NotFoundError

DISPATCHER = "dispatcher-job-requested"
"""The dispatcher's consumer."""


class Requests:
    """Reads the state of the dispatcher's consumer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def are_waiting(self) -> bool:
        """Return whether any request is not yet handled. Raises nats errors, also when there is no dispatcher."""
        info = await self._bus.jetstream.consumer_info(stream_of(JobRequested.SUBJECT), DISPATCHER)
        return bool(info.num_pending or info.num_ack_pending)

    async def has_finished(self, build_id: str) -> bool:
        """Return whether the job told its end, which then only waits for the planner."""
        subject = fill(JOB_FINISHED, kind=Kind.BUILD, job_id=build_id)
        try:
            await self._bus.jetstream.get_last_msg(stream_of(subject), subject)
        except NotFoundError:
            return False
        return True
