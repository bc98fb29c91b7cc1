"""What becomes of a job of which an attempt was lost. Pure."""

from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.runtimes import Loss

PASSING = frozenset({Loss.DELETED, Loss.EVICTED, Loss.NODE, Loss.CRASHED})
"""What another attempt may not meet; the others would only come again."""


def is_tried_again(kind: Kind, loss: Loss, *, attempt: int, began: bool, most_attempts: int) -> bool:
    """Return whether a job has another attempt; `began` is whether any of its attempts began.

    A release that began may have released something, so it is not begun again by itself.
    """
    return loss in PASSING and attempt < most_attempts and not (kind is Kind.RELEASE and began)


def outcome_of(loss: Loss) -> Outcome:
    """Return how a job ends by a loss."""
    return Outcome.TIMED_OUT if loss is Loss.DEADLINE else Outcome.LOST


def reason_of(reason: str, *, attempt: int) -> str:
    """Return why a job is lost, for people, once there is no other attempt."""
    return f"{reason} (attempt {attempt})" if attempt > 1 else reason
