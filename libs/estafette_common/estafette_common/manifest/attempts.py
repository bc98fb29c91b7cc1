"""What a stage says of its attempts: how long one may take, how often it is tried again, whether a finished one counts.

The reference has none of these; there they are properties that are handed to the image, as they still are here.
"""

from typing import Any

from estafette_common.manifest.model import Stage
from estafette_common.triggers import durations


class AttemptsError(ValueError):
    """A property means nothing; the message says what to write."""


def timeout(stage: Stage) -> float | None:
    """Return the seconds that a stage may run; None: no limit but that of its job. Raises AttemptsError.

    An extension has no commands, and a `timeout` of its own kind.
    """
    value = stage.custom.get("timeout")
    if value is None or not (stage.commands or stage.parallel_stages):
        return None
    seconds = _seconds(value)
    if seconds is None or seconds <= 0:
        raise AttemptsError(f"{value!r} is no duration; write one such as 90s or 1h30m")
    return seconds


def retries(stage: Stage) -> int:
    """Return how often a stage is tried again when it fails. Raises AttemptsError."""
    value = stage.custom.get("retries", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise AttemptsError(f"{value!r} is no number of tries; write one such as 2")
    return value


def resumable(stage: Stage) -> bool:
    """Return whether a later attempt of the job passes over the stage once it succeeded. Raises AttemptsError."""
    value = stage.custom.get("resumable", False)
    if not isinstance(value, bool):
        raise AttemptsError(f"{value!r} is neither true nor false")
    return value


def _seconds(value: Any) -> float | None:
    """Return the seconds of a duration as Go writes it, or of a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    duration = durations.parse(value) if isinstance(value, str) else None
    return None if duration is None else duration.total_seconds()
