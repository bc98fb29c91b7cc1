"""How the steps of a job go, told to its log and to the bus."""

import time
from dataclasses import dataclass

from estafette_common.bus.messages.logs import Image
from estafette_common.jobs.lifecycle import StageStatus

from builder.reporting import Reporter
from builder.shipping import Shipper


@dataclass(slots=True, eq=False)
class Step:
    """A step that was begun."""

    name: str
    auto_injected: bool = False
    parent: str = ""
    """The stage that it runs inside, or beside as a service."""
    service: bool = False
    image: Image | None = None
    began: float | None = None
    """Of the monotonic clock, when it began to run."""

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return 0.0 if self.began is None else time.monotonic() - self.began


class Steps:
    """Tells of steps, and knows how those at the top ended."""

    def __init__(self, shipper: Shipper, reporter: Reporter) -> None:
        self._shipper = shipper
        self._reporter = reporter
        self._open: list[Step] = []
        """That were told of and did not end, in the order in which they were."""
        self.statuses: list[StageStatus] = []
        """Of the steps at the top that ended."""

    @property
    def has_failed(self) -> bool:
        """Whether any step at the top failed."""
        return StageStatus.FAILED in self.statuses

    def is_open(self, step: Step) -> bool:
        """Return whether a step was told of and did not end."""
        return step in self._open

    def wait(self, step: Step) -> Step:
        """Tell that a step waits for its image."""
        self._open.append(step)
        self._change(step, StageStatus.PENDING)
        return step

    def begin(self, step: Step) -> None:
        """Tell that a step runs."""
        if step not in self._open:
            self._open.append(step)
        step.began = time.monotonic()
        self._change(step, StageStatus.RUNNING)
        self._reporter.stage(step.name, StageStatus.RUNNING, parent=step.parent, service=step.service)

    def skip(self, step: Step) -> None:
        """Tell that a step is passed over."""
        self._end(step, StageStatus.SKIPPED)

    def succeed(self, step: Step) -> None:
        """Tell that a step came to its end."""
        self._end(step, StageStatus.SUCCEEDED)

    def cancel(self, step: Step) -> None:
        """Tell that a step was ended before its end."""
        self._end(step, StageStatus.CANCELED)

    def fail(self, step: Step, reason: str, *, exit_code: int = 0) -> None:
        """Tell that a step failed, and why."""
        self._shipper.line(step.name, reason, stream="stderr", parent=step.parent, service=step.service)
        self._end(step, StageStatus.FAILED, exit_code=exit_code)

    def fail_open(self, reason: str) -> None:
        """Tell that everything that was under way failed, what runs inside a stage before the stage."""
        for step in reversed(self._open.copy()):
            self.fail(step, reason)

    def _end(self, step: Step, status: StageStatus, *, exit_code: int = 0) -> None:
        if step in self._open:
            self._open.remove(step)
        if not step.parent:
            self.statuses.append(status)
        seconds = step.seconds
        self._change(step, status, seconds=seconds, exit_code=exit_code)
        self._reporter.stage(
            step.name, status, seconds=seconds, exit_code=exit_code, parent=step.parent, service=step.service
        )

    def _change(self, step: Step, status: StageStatus, *, seconds: float = 0.0, exit_code: int = 0) -> None:
        self._shipper.change(
            step.name,
            status,
            image=step.image,
            seconds=seconds,
            exit_code=exit_code,
            auto_injected=step.auto_injected,
            parent=step.parent,
            service=step.service,
        )
