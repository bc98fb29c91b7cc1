"""How the steps of a job go, told to its log and to the bus."""

import time
from dataclasses import dataclass

from estafette_common.bus.messages.logs import Image
from estafette_common.jobs.lifecycle import StageStatus

from builder.places import Place
from builder.reporting import Reporter
from builder.shipping import Shipper


@dataclass(slots=True, eq=False)
class Step:
    """A step of a log: a stage, a service, or something that the builder does. It ends once."""

    name: str
    auto_injected: bool = False
    parent: str = ""
    """The stage that it runs inside, or beside as a service."""
    service: bool = False
    run: int = 0
    """How often it was tried again."""
    image: Image | None = None
    began: float | None = None
    """Of the monotonic clock, when it began to run."""
    ended: bool = False

    @property
    def place(self) -> Place:
        """Where it is told of."""
        return Place(self.name, self.parent, self.service, self.run)

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

    def wait(self, step: Step) -> Step:
        """Tell that a step waits for its image."""
        self._open.append(step)
        self._change(step, StageStatus.PENDING)
        return step

    def say(self, step: Step, line: str) -> None:
        """Tell a line about a step, in its log."""
        self._shipper.line(step.place, line)

    def begin(self, step: Step) -> None:
        """Tell that a step runs."""
        if step not in self._open:
            self._open.append(step)
        step.began = time.monotonic()
        self._change(step, StageStatus.RUNNING)
        self._reporter.stage(step.place, StageStatus.RUNNING)

    def skip(self, step: Step) -> None:
        """Tell that a step is passed over."""
        self._end(step, StageStatus.SKIPPED)

    def succeed(self, step: Step) -> None:
        """Tell that a step came to its end."""
        self._end(step, StageStatus.SUCCEEDED)

    def cancel(self, step: Step) -> None:
        """Tell that a step was ended before its end, or is not begun any more."""
        self._end(step, StageStatus.CANCELED)

    def fail(self, step: Step, reason: str, *, exit_code: int = 0) -> None:
        """Tell that a step failed, and why."""
        if not step.ended:
            self._shipper.line(step.place, reason, stream="stderr")
            self._end(step, StageStatus.FAILED, exit_code=exit_code)

    def fail_once(self, step: Step, reason: str, *, exit_code: int = 0) -> None:
        """Tell that a step failed that is tried again, which counts for nothing, and that it waits anew."""
        self._shipper.line(step.place, reason, stream="stderr")
        self._tell_end(step, StageStatus.FAILED, exit_code=exit_code)
        step.run += 1
        step.image = step.began = None
        self._change(step, StageStatus.PENDING)

    def fail_open(self, reason: str) -> None:
        """Tell that the stages under way failed, after that what runs inside and beside them was canceled."""
        for step in reversed(self._open.copy()):
            if step.parent:
                self.cancel(step)
            else:
                self.fail(step, reason)

    def cancel_open(self) -> None:
        """Tell that everything that was under way was canceled, what runs inside a stage before the stage."""
        for step in reversed(self._open.copy()):
            self.cancel(step)

    def _end(self, step: Step, status: StageStatus, *, exit_code: int = 0) -> None:
        if step.ended:
            return
        step.ended = True
        if step in self._open:
            self._open.remove(step)
        if not step.parent:
            self.statuses.append(status)
        self._tell_end(step, status, exit_code=exit_code)

    def _tell_end(self, step: Step, status: StageStatus, *, exit_code: int) -> None:
        seconds = step.seconds
        self._change(step, status, seconds=seconds, exit_code=exit_code)
        self._reporter.stage(step.place, status, seconds=seconds, exit_code=exit_code)

    def _change(self, step: Step, status: StageStatus, *, seconds: float = 0.0, exit_code: int = 0) -> None:
        self._shipper.change(
            step.place,
            status,
            image=step.image,
            seconds=seconds,
            exit_code=exit_code,
            auto_injected=step.auto_injected,
        )
