"""What the bus remembers of a job."""

from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.jobs import JobCancel, JobFinished, JobGone
from estafette_common.bus.messages.message import Message
from estafette_common.bus.subjects import fill, stream_of
from nats.js.errors import NotFoundError


class History:
    """Reads the stream of jobs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def is_over(self, kind: str, job_id: str) -> bool:
        """Return whether the job came to its end already."""
        return await self._was_told(JobFinished, kind, job_id) or await self._was_told(JobGone, kind, job_id)

    async def is_canceled(self, kind: str, job_id: str) -> bool:
        """Return whether the job shall not run, or no longer."""
        return await self._was_told(JobCancel, kind, job_id)

    async def _was_told(self, message: type[Message], kind: str, job_id: str) -> bool:
        subject = fill(message.SUBJECT, kind=kind, job_id=job_id)
        try:
            await self._bus.jetstream.get_last_msg(stream_of(message.SUBJECT), subject)
        except NotFoundError:
            return False
        return True
