"""JOBS: the life of a job, told by whoever moves it. Folding a job's messages gives its state."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Self

import zstandard

from estafette_common.bus import subjects
from estafette_common.bus.messages.message import Message
from estafette_common.jobs.lifecycle import Kind, Outcome, StageStatus
from estafette_common.jobs.plan import Plan
from estafette_common.jobs.usage import Usage

LARGEST_AS_IT_IS = 512 * 1024
"""Bytes of a body that travels as it is; NATS takes a megabyte where nobody says otherwise."""

LARGEST = 64 * 1024 * 1024
"""Bytes that a compressed body may have."""


class _JobMessage(Message):
    kind: Kind
    job_id: str


class JobRequested(_JobMessage):
    """A job shall run. Told once by manifest-planner, answered by job-dispatcher.

    A body that could be larger than NATS takes is compressed with zstd (header `content-encoding: zstd`).
    """

    TYPE: ClassVar = "estafette.job.requested.v1"
    SUBJECT: ClassVar = subjects.JOB_REQUESTED

    plan: Plan
    sealed_key: str
    """The key of the secrets in the plan, itself sealed with the key that planner and dispatcher share."""
    measured: Usage | None = None
    """The most that jobs like it took lately; none where too few were measured."""

    @property
    def headers(self) -> dict[str, str]:
        """How the body is compressed, if it is."""
        return {"content-encoding": "zstd"} if len(self._json) > LARGEST_AS_IT_IS else {}

    def encode(self) -> bytes:
        """Return the body, compressed where it has to be."""
        return zstandard.compress(self._json) if len(self._json) > LARGEST_AS_IT_IS else self._json

    @classmethod
    def decode(cls, body: bytes, headers: Mapping[str, str]) -> Self:
        """Return the request of a body; ValueError says what is wrong with it."""
        if headers.get("content-encoding") == "zstd":
            try:
                body = zstandard.decompress(body, max_output_size=LARGEST)
            except zstandard.ZstdError as error:
                raise ValueError(f"not the zstd that it claims to be: {error}") from error
        return cls.model_validate_json(body)

    @cached_property
    def _json(self) -> bytes:
        return super().encode()


class JobDispatched(_JobMessage):
    """A runtime accepted the job. Told by job-dispatcher."""

    TYPE: ClassVar = "estafette.job.dispatched.v1"
    SUBJECT: ClassVar = subjects.JOB_DISPATCHED

    runtime: str
    """`kubernetes` or `local`"""
    name: str
    """Of the job in its runtime."""


class JobFailedToStart(_JobMessage):
    """No runtime will ever accept the job. Told by job-dispatcher."""

    TYPE: ClassVar = "estafette.job.failed-to-start.v1"
    SUBJECT: ClassVar = subjects.JOB_FAILED_TO_START

    reason: str


class JobWaiting(_JobMessage):
    """A runtime has the job, and it does not run yet. Told by job-dispatcher when what it waits for changes."""

    TYPE: ClassVar = "estafette.job.waiting.v1"
    SUBJECT: ClassVar = subjects.JOB_WAITING

    attempt: int
    state: str
    """A `jobs.runtimes.Waiting`"""
    reason: str
    """For people."""


class JobLost(_JobMessage):
    """An attempt went away without telling its end. Told by job-dispatcher."""

    TYPE: ClassVar = "estafette.job.lost.v1"
    SUBJECT: ClassVar = subjects.JOB_LOST

    attempt: int
    loss: str
    """A `jobs.runtimes.Loss`"""
    outcome: Outcome
    """How the job ends by it, unless it is tried again."""
    again: bool
    """Whether another attempt was begun."""
    reason: str
    """For people."""


class JobCancel(_JobMessage):
    """A job that may run shall end, and nothing more of it run. Told by manifest-planner, heard by its builder.

    job-dispatcher sees to it where there is no builder, or none that answers.
    """

    TYPE: ClassVar = "estafette.job.cancel.v1"
    SUBJECT: ClassVar = subjects.JOB_CANCEL

    reason: str
    """Who wants it, and why, for people."""


class JobGone(_JobMessage):
    """Nothing of a canceled job is left, and no late request starts it. Told by job-dispatcher."""

    TYPE: ClassVar = "estafette.job.gone.v1"
    SUBJECT: ClassVar = subjects.JOB_GONE

    reason: str
    """For people: how it went."""


class JobStarted(_JobMessage):
    """A builder took up the job. Told by the builder, once per attempt."""

    TYPE: ClassVar = "estafette.job.started.v1"
    SUBJECT: ClassVar = subjects.JOB_STARTED

    attempt: int
    time: datetime


class StageChanged(_JobMessage):
    """A stage changed its status. Told by the builder."""

    TYPE: ClassVar = "estafette.job.stage.v1"
    SUBJECT: ClassVar = subjects.JOB_STAGE

    attempt: int
    stage: str
    parent: str = ""
    """The stage that it runs inside or beside."""
    service: bool = False
    run: int = 0
    """How often it was tried again before."""
    status: StageStatus
    time: datetime
    duration: float | None = None
    """Seconds, once it ended."""
    exit_code: int | None = None


class JobHeartbeat(_JobMessage):
    """The builder is alive. Told by it every few seconds."""

    TYPE: ClassVar = "estafette.job.heartbeat.v1"
    SUBJECT: ClassVar = subjects.JOB_HEARTBEAT

    attempt: int
    time: datetime


class JobFinished(_JobMessage):
    """The job came to its end, and all of its log is published. Told by the builder."""

    TYPE: ClassVar = "estafette.job.finished.v1"
    SUBJECT: ClassVar = subjects.JOB_FINISHED

    attempt: int
    outcome: Outcome
    time: datetime
    reason: str = ""
    usage: Usage | None = None
    """The most that the attempt took, where its builder could measure it."""
