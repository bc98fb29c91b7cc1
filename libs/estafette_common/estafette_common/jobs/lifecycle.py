"""The life of a job: which status may follow which, and how an end came about."""

from enum import StrEnum


class Kind(StrEnum):
    """What a job makes."""

    BUILD = "build"
    RELEASE = "release"
    BOT = "bot"


class Status(StrEnum):
    """Where a job stands; the words of the reference's API."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELING = "canceling"
    CANCELED = "canceled"


class Outcome(StrEnum):
    """How a job ended. Loss of infrastructure is not failure of a test, though both end as `failed`."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """By a stage."""
    CANCELED = "canceled"
    """By a person, or by a newer job that takes its place."""
    LOST = "lost"
    """By its node, pod or process going away."""
    REJECTED = "rejected"
    """By the manifest or a policy, before it ran."""
    TIMED_OUT = "timed_out"

    @property
    def status(self) -> Status:
        """The status that a job with this outcome ends in."""
        match self:
            case Outcome.SUCCEEDED:
                return Status.SUCCEEDED
            case Outcome.CANCELED:
                return Status.CANCELED
            case _:
                return Status.FAILED


ALLOWED = {
    Status.PENDING: {
        Status.RUNNING,
        Status.SUCCEEDED,
        Status.FAILED,
        Status.CANCELING,
        Status.CANCELED,
    },
    Status.RUNNING: {Status.SUCCEEDED, Status.FAILED, Status.CANCELING, Status.CANCELED},
    Status.CANCELING: {Status.CANCELED},
    Status.SUCCEEDED: set(),
    Status.FAILED: set(),
    Status.CANCELED: set(),
}
"""Forward only. An end may come straight from pending, for `started` and `finished` travel on different consumers."""

FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})


def end_of(now: Status, outcome: Outcome) -> Outcome:
    """Return how a job in status `now` ends when this is told of it.

    What was to be canceled ends canceled however its end came about: what it did in between counts no more.
    """
    return Outcome.CANCELED if now is Status.CANCELING else outcome


def may_follow(now: Status, then: Status) -> bool:
    """Return whether a job in status `now` may pass to `then`."""
    return then in ALLOWED[now]


class StageStatus(StrEnum):
    """Where a stage stands; the words of the reference's logs."""

    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELED = "CANCELED"
