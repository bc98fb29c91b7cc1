"""How the steps of a job go, told to its log and to the bus."""

import time
from dataclasses import dataclass

from estafette_common.bus.messages.logs import Image
from estafette_common.jobs.lifecycle import StageStatus

from builder.reporting import Reporter
from builder.shipping import Shipper


@dataclass(slots=True)
class Step:
    """A step that was begun."""

    name: str
    auto_injected: bool
    image: Image | None = None
    began: float | None = None
    """Of the monotonic clock, when it began to run."""

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return 0.0 if self.began is None else time.monotonic() - self.began


class Steps:
    """Tells of one step after the other, and knows how they ended."""

    def __init__(self, shipper: Shipper, reporter: Reporter) -> None:
        self._shipper = shipper
        self._reporter = reporter
        self._current: Step | None = None
        self.statuses: list[StageStatus] = []
        """Of the steps that ended."""

    @property
    def has_failed(self) -> bool:
        """Whether any step failed."""
        return StageStatus.FAILED in self.statuses

    def wait(self, name: str, *, auto_injected: bool = False) -> Step:
        """Tell that a step waits for its image."""
        self._current = Step(name, auto_injected)
        self._shipper.change(name, StageStatus.PENDING, auto_injected=auto_injected)
        return self._current

    def begin(self, step: Step) -> None:
        """Tell that a step runs."""
        self._current, step.began = step, time.monotonic()
        self._shipper.change(step.name, StageStatus.RUNNING, image=step.image, auto_injected=step.auto_injected)
        self._reporter.stage(step.name, StageStatus.RUNNING)

    def skip(self, name: str, *, auto_injected: bool) -> None:
        """Tell that a step is passed over."""
        self._end(Step(name, auto_injected), StageStatus.SKIPPED)

    def succeed(self, step: Step) -> None:
        """Tell that a step came to its end."""
        self._end(step, StageStatus.SUCCEEDED)

    def fail(self, step: Step, reason: str, *, exit_code: int = 0) -> None:
        """Tell that a step failed, and why."""
        self._shipper.line(step.name, reason, stream="stderr")
        self._end(step, StageStatus.FAILED, exit_code=exit_code)

    def fail_current(self, reason: str) -> None:
        """Tell that the step that was under way failed, if one was."""
        if self._current is not None:
            self.fail(self._current, reason)

    def _end(self, step: Step, status: StageStatus, *, exit_code: int = 0) -> None:
        self._current = None
        self.statuses.append(status)
        seconds = step.seconds
        self._shipper.change(
            step.name,
            status,
            image=step.image,
            seconds=seconds,
            exit_code=exit_code,
            auto_injected=step.auto_injected,
        )
        self._reporter.stage(step.name, status, seconds=seconds, exit_code=exit_code)
