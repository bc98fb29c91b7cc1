"""Where jobs run: one small interface, and what each of its implementations promises."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from estafette_common.jobs.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job as it is handed to a runtime."""

    plan: Plan
    key: bytes = field(repr=False)
    """Opens the secrets in the plan; 32 bytes, made for this job."""
    nats_credential: str = field(default="", repr=False)
    """Text of a NATS credentials file, made for this job; empty: NATS takes the job without."""
    traceparent: str = ""
    """W3C trace context that the job continues."""

    @property
    def name(self) -> str:
        """The name of the job in the runtime."""
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

    async def start(self, job: JobSpec) -> None:
        """Start a builder for the job unless the runtime already has one of that name, running or ended.

        Raises JobRefusedError when no later try can succeed.
        """
        ...

    async def jobs(self) -> list[JobState]:
        """Return every job that the runtime has, running or ended."""
        ...

    async def remove(self, name: str) -> None:
        """Stop the job if it runs and forget it; nothing happens when there is none."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
