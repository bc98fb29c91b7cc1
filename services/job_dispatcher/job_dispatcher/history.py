"""What the bus remembers of a job."""

from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.jobs import JobFinished
from estafette_common.bus.subjects import JOB_FINISHED, fill, stream_of
from nats.js.errors import NotFoundError


class History:
    """Reads the stream of jobs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def is_finished(self, kind: str, job_id: str) -> bool:
        """Return whether the job came to its end already."""
        subject = fill(JOB_FINISHED, kind=kind, job_id=job_id)
        try:
            await self._bus.jetstream.get_last_msg(stream_of(JobFinished.SUBJECT), subject)
        except NotFoundError:
            return False
        return True
