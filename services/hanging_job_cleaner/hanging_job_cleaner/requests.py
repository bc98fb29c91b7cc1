"""What the bus knows of requests and jobs."""

import structlog
from estafette_common.bus import identity
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.commands import Rebuild, StartBot, StartBuild, StartRelease
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.jobs import JobFailedToStart, JobFinished, JobGone, JobLost, JobRequested
from estafette_common.bus.messages.message import Message
from estafette_common.bus.messages.triggers import Fire
from estafette_common.bus.subjects import fill, pattern, stream_of
from estafette_common.jobs.lifecycle import Kind
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from hanging_job_cleaner.reconciling import Told

log = structlog.get_logger()

SOURCE = "hanging-job-cleaner"

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

ENDS: dict[type[Message], str] = {
    JobFinished: "planner-job-finished",
    JobFailedToStart: "planner-job-failed-to-start",
    JobGone: "planner-job-gone",
    JobLost: "planner-job-lost",
}
"""What is told of a job when it ended, and the consumer by which the planner takes it; a loss may not be the end."""


class Requests:
    """Reads the state of consumers and of the stream of jobs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._timeouts: dict[str, float | None] = {}

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
        message = await self._last(kind, job_id)
        if message is None or message.time is None:
            return None
        end = _end(message)
        return Told(
            at=message.time,
            is_end=end is not None,
            number=message.seq or 0,
            is_handled=end is not None and await self._is_handled(end, message),
            is_again=(message.headers or {}).get("ce-source") == SOURCE,
        )

    async def tell_again(self, kind: Kind, job_id: str) -> None:
        """Tell the end of a job once more, if an end is the last that was told of it. Raises NotStoredError."""
        message = await self._last(kind, job_id)
        end = _end(message) if message else None
        if message is None or end is None:
            return
        told = end.decode(message.data or b"", message.headers or {})
        await self._bus.publish(told, id=identity.derive(f"{job_id}/{message.seq}", "told-again"))

    async def timeouts(self, job_ids: list[tuple[Kind, str]]) -> dict[str, float]:
        """Return the seconds that each of these jobs may run, where its request says so; each request is read once."""
        known = self._timeouts
        self._timeouts = {
            job_id: known[job_id] if job_id in known else await self._timeout(kind, job_id) for kind, job_id in job_ids
        }
        return {job_id: timeout for job_id, timeout in self._timeouts.items() if timeout is not None}

    async def _timeout(self, kind: Kind, job_id: str) -> float | None:
        subject = fill(JobRequested.SUBJECT, kind=kind, job_id=job_id)
        try:
            message = await self._bus.jetstream.get_last_msg(stream_of(subject), subject)
            return JobRequested.decode(message.data or b"", message.headers or {}).plan.timeout
        except NotFoundError:
            return None
        except ValueError:
            log.warning("request cannot be read", kind=kind, job=job_id)
            return None

    async def _is_handled(self, end: type[Message], message: RawStreamMsg) -> bool:
        """Return whether the planner acknowledged, or gave up, an end."""
        try:
            info = await self._bus.jetstream.consumer_info(stream_of(end.SUBJECT), ENDS[end])
        except NotFoundError:  # there was no planner yet
            return False
        if not info.num_pending and not info.num_ack_pending:
            return True
        return info.ack_floor is not None and info.ack_floor.stream_seq >= (message.seq or 0)

    async def _last(self, kind: Kind, job_id: str) -> RawStreamMsg | None:
        every = fill(JobRequested.SUBJECT, kind=kind, job_id=job_id).rpartition(".")[0] + ".>"
        try:
            return await self._bus.jetstream.get_last_msg(stream_of(every), every)
        except NotFoundError:
            return None


def _end(message: RawStreamMsg) -> type[Message] | None:
    """Return the class of an end that was told, or nothing for what is none."""
    last = (message.subject or "").rpartition(".")[2]
    end = next((end for end in ENDS if pattern(end.SUBJECT).rpartition(".")[2] == last), None)
    if end is JobLost and JobLost.decode(message.data or b"", message.headers or {}).again:
        return None
    return end
