"""Running a job: its stages in order, each when it is due, and what becomes of the whole."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, TypeVar

from estafette_common.jobs.lifecycle import Outcome, StageStatus
from estafette_common.jobs.plan import Plan, PlannedService, PlannedStage
from estafette_common.manifest.secrets import SecretError
from estafette_common.manifest.when import WhenError

from builder.cloning import CloneError, Cloning
from builder.lines import Lines
from builder.masking import Masker
from builder.places import Place
from builder.preparing import Preparing
from builder.progress import Progress
from builder.resolving import Resolver
from builder.runtimes import PreparedStage, StageError, StageRuntime
from builder.services import Services
from builder.shipping import Shipper
from builder.statuses import aggregate
from builder.steps import Step, Steps

VERSION = version("estafette-builder")

INFO = Place("builder-info")
CLONE = Place("git-clone")

T = TypeVar("T")

TOO_LONG = "the job ran longer than it may"


class Ended(NamedTuple):
    """How a job ended, and why, if its stages do not say it."""

    outcome: Outcome
    reason: str = ""


class Job:
    """One attempt of a job. `run` it once."""

    def __init__(
        self,
        plan: Plan,
        *,
        workspace: Path,
        runtime: StageRuntime,
        shipper: Shipper,
        steps: Steps,
        masker: Masker,
        open_secrets: Callable[[str], str],
        progress: Progress | None = None,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._runtime = runtime
        self._shipper = shipper
        self._steps = steps
        self._masker = masker
        self._resolver = Resolver(plan, workspace=workspace, open_secrets=open_secrets)
        self._ahead = Preparing(runtime)
        self._services = Services(
            runtime,
            steps,
            resolve=lambda service: self._resolver.service(service, self._status),
            execute=self._execute,
        )
        self._left = deque(plan.stages)
        self._canceled = asyncio.Event()
        self._reason = ""

    def cancel(self, reason: str) -> None:
        """End the job, for that reason, whether it runs yet or not. One whose stages all ended stays as it is."""
        self._reason = self._reason or reason
        self._canceled.set()

    async def run(self, cloning: Cloning | None, *, kept: int = 0) -> Ended:
        """Run all stages and return how the job ends: being cancelled by `cancel`, or running too long, are such ends.

        Without `cloning` the workspace is as it is; the first `kept` stages are not run again, unless their conditions
        do not hold any more. When the task is cancelled, what runs is ended and nothing told.
        """
        work = asyncio.ensure_future(self._all(cloning, kept))
        canceled = asyncio.ensure_future(self._canceled.wait())
        try:
            await asyncio.wait([work, canceled], timeout=self._plan.timeout, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
                return Ended(aggregate(self._steps.statuses))
            return await self._end_early(work)
        finally:
            canceled.cancel()
            await _end(work)
            await self._ahead.drop()
            await self._services.stop(all_of_them=True)

    async def _end_early(self, work: asyncio.Future[None]) -> Ended:
        """End what runs, which is told first so that nobody takes its end for its own."""
        if self._canceled.is_set():
            self._steps.cancel_open()
            ended = Ended(Outcome.CANCELED, self._reason)
        else:
            self._steps.fail_open(TOO_LONG)
            ended = Ended(Outcome.TIMED_OUT, TOO_LONG)
        await _end(work)
        for stage in self._left:
            _tell_all(stage, Step(stage.name, stage.auto_injected), self._steps.cancel)
        return ended

    async def _all(self, cloning: Cloning | None, kept: int) -> None:
        self._info(kept)
        await asyncio.sleep(0)  # what is said goes out before more is thought of
        if not kept:
            self._look_ahead()
        if cloning is not None:
            await self._clone(cloning)
        for _ in range(kept):
            self._keep(self._left.popleft())
        while self._left:
            stage = self._left.popleft()
            await self._stage(stage)
            if self._progress is not None:
                self._progress.add(stage.name, self._steps.statuses[-1])

    @property
    def _status(self) -> str:
        return "failed" if self._steps.has_failed else "succeeded"

    def _look_ahead(self) -> None:
        """Prepare the first stage while the workspace is filled, as it will be if nothing fails."""
        for stage in self._plan.stages[:1]:
            try:
                if stage.image and self._resolver.holds(stage.when, self._status):
                    self._ahead.begin(self._resolver.stage(stage, self._status))
            except (WhenError, SecretError, StageError):
                return  # it is told when it is the stage's turn

    def _info(self, kept: int) -> None:
        step = _introduce(self._shipper, f", stage runtime {self._runtime.name}")
        if self._runtime.note:
            self._shipper.line(INFO, self._runtime.note)
        if self._plan.resumes and not kept:
            self._shipper.line(INFO, f"nothing of build {self._plan.resumes} can be passed over: all stages run")
        self._steps.succeed(step)

    async def _clone(self, cloning: Cloning) -> None:
        step = Step(CLONE.stage, auto_injected=True)
        self._steps.begin(step)
        try:
            await cloning.follow(partial(self._shipper.line, CLONE))
        except CloneError as error:
            self._steps.fail(step, str(error))
        else:
            self._steps.succeed(step)

    def _keep(self, stage: PlannedStage) -> None:
        """Tell of a stage that an earlier attempt finished."""
        step = Step(stage.name, stage.auto_injected)
        with suppress(_FailedError):
            if self._is_due(stage, step):
                self._shipper.line(step.place, "succeeded in an earlier attempt and is resumable: not run again")
                self._steps.succeed(step)

    async def _stage(self, stage: PlannedStage) -> None:
        """Run a stage at the top: its services, and then itself or what it holds."""
        step = Step(stage.name, stage.auto_injected)
        with suppress(_FailedError):
            if not self._is_due(stage, step):
                return
            self._steps.wait(step)
            try:
                await self._services.start(stage, self._due_services(stage))
                if stage.parallel_stages:
                    self._steps.begin(step)
                    await _within(stage.timeout, self._parallel(stage))
                    self._steps.succeed(step)
                else:
                    await self._container(stage, step)
            except StageError as error:
                self._steps.fail(step, str(error))
            finally:
                await self._services.stop(all_of_them=False)

    async def _parallel(self, stage: PlannedStage) -> None:
        """Run the stages inside a stage at once. The first that fails ends the others; StageError names it."""
        try:
            async with asyncio.TaskGroup() as group:
                for inner in stage.parallel_stages:
                    group.create_task(self._inner(inner, stage.name))
        except* _FailedError as errors:
            raise StageError(f"{errors.exceptions[0]} failed") from errors

    async def _inner(self, stage: PlannedStage, parent: str) -> None:
        step = Step(stage.name, stage.auto_injected, parent=parent)
        if not self._is_due(stage, step):
            return
        self._steps.wait(step)
        try:
            await self._container(stage, step)
        except asyncio.CancelledError:
            self._steps.cancel(step)
            raise

    async def _container(self, stage: PlannedStage, step: Step) -> None:
        """Run the container of a stage as often as it may be tried, and tell how that went."""
        while True:
            try:
                await self._try(stage, step)
            except (StageError, SecretError) as error:
                exit_code = error.exit_code if isinstance(error, StageError) else 0
                if step.run >= stage.retries:
                    self._steps.fail(step, str(error), exit_code=exit_code)
                    raise _FailedError(stage.name) from error
                self._steps.fail_once(step, f"{error}; trying again", exit_code=exit_code)
            else:
                self._steps.succeed(step)
                return

    async def _try(self, stage: PlannedStage, step: Step) -> None:
        """Run the container of a stage, if it has one; StageError when it fails."""
        if not stage.image:
            self._steps.begin(step)
            return
        prepared = await self._ahead.prepared(
            self._resolver.stage(stage, self._status), partial(self._shipper.line, step.place)
        )
        step.image = prepared.image
        self._steps.begin(step)
        if code := await _within(stage.timeout, self._execute(step, prepared)):
            raise StageError(f"failed with exit code {code}", exit_code=code)

    def _is_due(self, stage: PlannedStage, step: Step) -> bool:
        """Return whether a stage runs; one that does not, or whose condition is broken, is told."""
        try:
            due = self._resolver.holds(stage.when, self._status)
        except WhenError as error:
            self._steps.fail(step, _broken(stage.when, error))
            raise _FailedError(stage.name) from error
        if not due:
            _tell_all(stage, step, self._steps.skip)
        return due

    def _due_services(self, stage: PlannedStage) -> list[PlannedService]:
        """Return the services whose condition holds; the others leave no trace. Raises StageError."""
        try:
            return [service for service in stage.services if self._resolver.holds(service.when, self._status)]
        except WhenError as error:
            broken = "; ".join(service.when for service in stage.services)
            raise StageError(f"services: {_broken(broken, error)}") from error

    async def _execute(self, step: Step, stage: PreparedStage) -> int:
        streams = {"stdout": Lines(self._masker), "stderr": Lines(self._masker)}
        say = partial(self._shipper.printed, step.place)

        async def take(stream: str, data: bytes) -> None:
            say(streams[stream].feed(data, now=time.monotonic()), stream=stream)
            await self._shipper.room()

        try:
            return await stage.run(take)
        finally:
            for stream, lines in streams.items():
                say(lines.rest(), stream=stream)


class _FailedError(Exception):
    """A stage failed, as was told; the message is its name."""


def _broken(condition: str, error: WhenError) -> str:
    return f"when: {error.reason} (at character {error.column} of {condition!r})"


def _tell_all(stage: PlannedStage, step: Step, tell: Callable[[Step], None]) -> None:
    """Tell the same of a stage and of all that would have run inside and beside it."""
    tell(step)
    for inner in stage.parallel_stages:
        tell(Step(inner.name, inner.auto_injected, parent=stage.name))
    for service in stage.services:
        tell(Step(service.name, parent=stage.name, service=True))


async def _within(seconds: float | None, work: Awaitable[T]) -> T:
    """Do the work for at most so long; StageError when that is not enough."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise StageError(f"ran longer than its timeout of {seconds:g} s") from None


async def _end(work: asyncio.Future[None]) -> None:
    """Cancel the work; return once it is over."""
    work.cancel()
    await asyncio.wait([work])


def refuse(reason: str, *, shipper: Shipper, steps: Steps) -> None:
    """Tell why a job cannot be run at all."""
    steps.fail(_introduce(shipper), reason)


def _introduce(shipper: Shipper, more: str = "") -> Step:
    """Begin the first step of every log."""
    shipper.change(INFO, StageStatus.RUNNING, auto_injected=True)
    shipper.line(INFO, f"estafette builder {VERSION}{more}")
    return Step(INFO.stage, auto_injected=True)
