"""What the bus remembers of a job."""

import asyncio
from typing import TypeVar

from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.jobs import (
    JobCancel,
    JobFinished,
    JobGone,
    JobHeartbeat,
    JobLost,
    JobRequested,
    JobStarted,
)
from estafette_common.bus.messages.message import Message
from estafette_common.bus.subjects import fill, stream_of
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

Told = TypeVar("Told", bound=Message)


class History:
    """Reads the stream of jobs. Raises nats errors where NATS is away."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def is_settled(self, kind: str, job_id: str) -> bool:
        """Return whether the job needs no first attempt any more: it ended, was lost before, or shall not run."""
        ends = (JobFinished, JobGone, JobLost, JobCancel)
        told = await asyncio.gather(*(self._last(end, kind, job_id) for end in ends))
        return any(end is not None for end in told)

    async def is_gone(self, kind: str, job_id: str) -> bool:
        """Return whether it was told that nothing of the job is left."""
        return await self._last(JobGone, kind, job_id) is not None

    async def is_over(self, kind: str, job_id: str) -> bool:
        """Return whether the job came to its end already."""
        if await self._last(JobFinished, kind, job_id) or await self.is_gone(kind, job_id):
            return True
        lost = await self.last_loss(kind, job_id)
        return lost is not None and not lost.again

    async def is_canceled(self, kind: str, job_id: str) -> bool:
        """Return whether the job shall not run, or no longer."""
        return await self._last(JobCancel, kind, job_id) is not None

    async def last_loss(self, kind: str, job_id: str) -> JobLost | None:
        """Return what was told of the last attempt that was lost, if one was."""
        return await self._told(JobLost, kind, job_id)

    async def request(self, kind: str, job_id: str) -> JobRequested | None:
        """Return the request of the job, as long as it is kept."""
        return await self._told(JobRequested, kind, job_id)

    async def last_heartbeat(self, kind: str, job_id: str) -> JobHeartbeat | None:
        """Return the last sign of life of a builder, if there was one."""
        return await self._told(JobHeartbeat, kind, job_id)

    async def last_start(self, kind: str, job_id: str) -> int:
        """Return the sequence of what was told when an attempt began, the last one; 0: none did."""
        found = await self._last(JobStarted, kind, job_id)
        return (found.seq or 0) if found else 0

    async def _told(self, message: type[Told], kind: str, job_id: str) -> Told | None:
        found = await self._last(message, kind, job_id)
        return message.decode(found.data or b"", found.headers or {}) if found else None

    async def _last(self, message: type[Message], kind: str, job_id: str) -> RawStreamMsg | None:
        subject = fill(message.SUBJECT, kind=kind, job_id=job_id)
        try:
            return await self._bus.jetstream.get_last_msg(stream_of(subject), subject)
        except NotFoundError:
            return None
