"""What becomes of a job of which an attempt was lost. Pure."""

from datetime import datetime, timedelta

from estafette_common.bus.messages.jobs import JobHeartbeat
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import Plan
from estafette_common.jobs.repeating import why_not_repeated
from estafette_common.jobs.runtimes import Loss
from estafette_common.jobs.usage import Usage

PASSING = frozenset({Loss.DELETED, Loss.EVICTED, Loss.NODE, Loss.CRASHED})
"""What another attempt may not meet; the others would only come again."""

HEARD_WITHIN = timedelta(seconds=30)
"""A builder tells every 5 s that it lives; where NATS is away nobody hears it."""


def given(measured: Usage | None, *, attempt: int) -> Usage | None:
    """Return what an attempt goes by of what jobs like it took: a later one may take the most memory there is."""
    return measured.model_copy(update={"out_of_memory": True}) if measured and attempt > 1 else measured


def why_no_other(
    plan: Plan, loss: Loss, *, measured: Usage | None, attempt: int, began: bool, most_attempts: int
) -> str:
    """Return why a job has no other attempt; empty when it has. `began` is whether any of its attempts began."""
    may_take_more = given(measured, attempt=attempt) != given(measured, attempt=attempt + 1)
    if loss not in PASSING and not (loss is Loss.OUT_OF_MEMORY and may_take_more):
        return "another attempt would only meet the same"
    if attempt >= most_attempts:
        return f"it was tried {attempt} times" if attempt > 1 else "it is tried once only"
    return why_not_repeated(plan) if began else ""


def is_heard(heartbeat: JobHeartbeat | None, *, attempt: int, now: datetime) -> bool:
    """Return whether the builder of an attempt lives, whatever is said of its node."""
    return heartbeat is not None and heartbeat.attempt == attempt and now - heartbeat.time < HEARD_WITHIN


def outcome_of(loss: Loss) -> Outcome:
    """Return how a job ends by a loss."""
    return Outcome.TIMED_OUT if loss is Loss.DEADLINE else Outcome.LOST
