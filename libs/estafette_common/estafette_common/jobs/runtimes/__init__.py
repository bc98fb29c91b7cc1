"""Where jobs run: one small interface, and what each of its implementations promises."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from estafette_common.jobs.plan import Plan
from estafette_common.jobs.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job as it is handed to a runtime."""

    plan: Plan
    key: bytes = field(repr=False)
    """Opens the secrets in the plan; 32 bytes, made for this job."""
    nats_credential: str = field(default="", repr=False)
    """Text of a NATS credentials file, made for this job; empty: NATS takes the job without."""
    registry_logins: str = field(default="", repr=False)
    """What the image of the builder is pulled with, as Docker's `config.json` has it; empty: nothing is needed."""
    traceparent: str = ""
    """W3C trace context that the job continues."""
    measured: Usage | None = None
    """The most that jobs like it took lately; none where too few were measured."""
    attempt: int = 1
    """Which attempt of the job this is; a runtime that starts builders again by itself counts on from here."""
    begun_before: int = 0
    """Sequence of the last `started` of the job in its stream when this attempt was decided on; 0: there was none."""

    @property
    def name(self) -> str:
        """The name of the job; a runtime may know it by a longer one."""
        return self.plan.job_name


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as a runtime sees it."""

    name: str
    kind: str
    job_id: str
    alive: bool
    """Whether its builder runs or will be started (again)."""
    created_at: datetime
    attempt: int = 1


class Waiting(StrEnum):
    """What a job that a runtime has, and that does not run yet, is at."""

    SCHEDULED = "scheduled"
    """It has a machine, where it is being made ready."""
    UNSCHEDULABLE = "unschedulable"
    """No machine has room for it, or may take it."""
    IMAGE = "image"
    """The image of the builder cannot be pulled; it is tried again."""
    NOT_STARTED = "not-started"
    """Its container cannot be made; it is tried again."""


class Loss(StrEnum):
    """How a job was lost."""

    DELETED = "deleted"
    EVICTED = "evicted"
    """By its machine, which had too little of something or goes away."""
    NODE = "node"
    """Its machine is not heard of any more."""
    OUT_OF_MEMORY = "out-of-memory"
    CRASHED = "crashed"
    """Its builder ended without an outcome."""
    DEADLINE = "deadline"
    """It took longer than it may, and did not end by itself."""
    UNSCHEDULABLE = "unschedulable"
    IMAGE = "image"
    NOT_STARTED = "not-started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a runtime saw of an attempt of a job."""

    kind: str
    job_id: str
    attempt: int
    name: str
    """Of the job in the runtime."""
    state: Waiting | Loss
    reason: str
    """For people: what happened, and to what."""


class NotYetError(Exception):
    """What was seen of a job may pass: it is to be looked at again, later."""


class Observer(Protocol):
    """Is told what becomes of jobs. It may be told the same again, also by another replica.

    Whatever it raises, it is told again later if that is still so; NotYetError where nothing is wrong.
    """

    async def waits(self, seen: Seen) -> None:
        """A job does not run yet, and why."""
        ...

    async def lost(self, seen: Seen) -> None:
        """An attempt of a job is lost, and nothing will start it again."""
        ...


class RuntimeUnavailableError(Exception):
    """The runtime cannot be asked at the moment; asking again may help."""


class JobRefusedError(Exception):
    """The runtime will never take this job; the message says why."""


class JobRuntime(Protocol):
    """Starts builders and knows which are there. Every call may be repeated and may come from any replica.

    Each raises RuntimeUnavailableError when the runtime cannot be reached.
    """

    name: str
    """`kubernetes` or `local`"""
    outlives_builders: bool
    """Whether something of a job is left for a while after its builder told its end."""

    async def start(self, job: JobSpec) -> str:
        """Start a builder for the attempt unless the runtime already has it, running or ended; returns its name there.

        Raises JobRefusedError when no later try can succeed.
        """
        ...

    async def jobs(self) -> list[JobState]:
        """Return every job that the runtime has, running or ended; of several attempts of one, the last comes last."""
        ...

    async def find(self, kind: str, job_id: str) -> list[JobState]:
        """Return what `jobs` has of one job; it is there until nothing of it is left."""
        ...

    async def remove(self, name: str) -> None:
        """Stop the job if it runs and forget it; nothing happens when there is none."""
        ...

    async def watch(self, observer: Observer) -> None:
        """Tell what becomes of jobs, for ever; return at once where the runtime sees to its jobs itself."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
