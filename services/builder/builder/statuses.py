"""What the stages of a job amount to. Pure."""

from collections.abc import Iterable

from estafette_common.jobs.lifecycle import Outcome, StageStatus


def aggregate(statuses: Iterable[StageStatus]) -> Outcome:
    """Return how a job ends whose top-level stages ended so. One in which nothing was due succeeded."""
    return of_steps((str(place), status) for place, status in enumerate(statuses)) or Outcome.SUCCEEDED


def of_steps(steps: Iterable[tuple[str, StageStatus]]) -> Outcome | None:
    """Return what top-level steps, by name and status, amount to: any canceled, else any failed, else any succeeded.

    Of several runs of a stage the last one counts. Nothing comes of steps of which none ran.
    """
    steps = list(steps)
    if any(status is StageStatus.CANCELED for _, status in steps):
        return Outcome.CANCELED
    last = dict(steps).values()
    if StageStatus.FAILED in last:
        return Outcome.FAILED
    return Outcome.SUCCEEDED if StageStatus.SUCCEEDED in last else None
