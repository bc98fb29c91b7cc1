"""What the stages of a job amount to. Pure."""

from collections.abc import Iterable

from estafette_common.jobs.lifecycle import Outcome, StageStatus


def aggregate(statuses: Iterable[StageStatus]) -> Outcome:
    """Return how a job ends whose top-level stages ended so: any canceled, else any failed, else succeeded."""
    seen = set(statuses)
    if StageStatus.CANCELED in seen:
        return Outcome.CANCELED
    if StageStatus.FAILED in seen:
        return Outcome.FAILED
    return Outcome.SUCCEEDED
