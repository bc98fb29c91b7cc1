"""Running a job: its stages in order, each when it is due, and what becomes of the whole."""

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from estafette_common.jobs.lifecycle import Outcome, StageStatus
from estafette_common.jobs.plan import Plan, PlannedService, PlannedStage
from estafette_common.manifest import when
from estafette_common.manifest.environment import container_variables, expand, in_texts, job_variables, stage_variables
from estafette_common.manifest.extensions import extension_variables
from estafette_common.manifest.secrets import SecretError

from builder.cloning import CloneError, Cloning
from builder.lines import Lines
from builder.masking import Masker
from builder.preparing import Preparing
from builder.runtimes import PreparedStage, StageError, StageRun, StageRuntime
from builder.services import Services
from builder.shipping import Shipper
from builder.statuses import aggregate
from builder.steps import Step, Steps

VERSION = version("estafette-builder")

INFO = "builder-info"
CLONE = "git-clone"

SERVER = "estafette"
"""What `server` is in conditions."""

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
    ) -> None:
        self._plan = plan
        self._workspace = workspace
        self._runtime = runtime
        self._shipper = shipper
        self._steps = steps
        self._masker = masker
        self._open = open_secrets
        self._started_at = datetime.now(UTC)
        self._ahead = Preparing(runtime)
        self._services = Services(runtime, steps, resolve=self._resolve_service, execute=self._execute)

    async def run(self, cloning: Cloning) -> Ended:
        """Run all stages and return how the job ends; running too long is one of the ends, cancellation is none."""
        try:
            async with asyncio.timeout(self._plan.timeout):
                self._look_ahead()
                self._info()
                await self._clone(cloning)
                for stage in self._plan.stages:
                    await self._stage(stage)
        except TimeoutError:
            self._steps.fail_open(TOO_LONG)
            return Ended(Outcome.TIMED_OUT, TOO_LONG)
        finally:
            await self._ahead.drop()
            await self._services.stop(all_of_them=True)
        return Ended(aggregate(self._steps.statuses))

    @property
    def _status(self) -> str:
        return "failed" if self._steps.has_failed else "succeeded"

    def _look_ahead(self) -> None:
        """Prepare the first stage while the workspace is filled, as it will be if nothing fails."""
        for stage in self._plan.stages[:1]:
            try:
                if stage.image and self._holds(stage.when):
                    self._ahead.begin(self._resolve(stage))
            except (when.WhenError, SecretError, StageError):
                return  # it is told when it is the stage's turn

    def _info(self) -> None:
        step = _introduce(self._shipper, f", stage runtime {self._runtime.name}")
        if self._runtime.note:
            self._shipper.line(INFO, self._runtime.note)
        self._steps.succeed(step)

    async def _clone(self, cloning: Cloning) -> None:
        step = Step(CLONE, auto_injected=True)
        self._steps.begin(step)
        try:
            await cloning.follow(partial(self._shipper.line, CLONE))
        except CloneError as error:
            self._steps.fail(step, str(error))
        else:
            self._steps.succeed(step)

    async def _stage(self, stage: PlannedStage) -> None:
        """Run a stage at the top: its services, and then itself or what it holds."""
        step = Step(stage.name, stage.auto_injected)
        if not self._is_due(stage, step):
            return
        self._steps.wait(step)
        try:
            services = [each for each in stage.services if self._holds(each.when)]
            await self._services.start(stage, services)
            if stage.parallel_stages:
                self._steps.begin(step)
                await self._parallel(stage)
            elif stage.image:
                await self._container(stage, step)
            else:
                self._steps.begin(step)
        except (StageError, SecretError, when.WhenError) as error:
            self._steps.fail(step, str(error), exit_code=getattr(error, "exit_code", 0))
        else:
            self._steps.succeed(step)
        finally:
            await self._services.stop(all_of_them=False)

    async def _parallel(self, stage: PlannedStage) -> None:
        """Run the stages inside a stage at once. The first that fails ends the others; StageError names it."""
        try:
            async with asyncio.TaskGroup() as group:
                for inner in stage.parallel_stages:
                    group.create_task(self._inner(inner, stage.name))
        except* StageError as errors:
            raise StageError(str(errors.exceptions[0])) from errors

    async def _inner(self, stage: PlannedStage, parent: str) -> None:
        step = Step(stage.name, stage.auto_injected, parent=parent)
        failures = f"{stage.name} failed"
        try:
            if not self._holds(stage.when):
                self._steps.skip(step)
                return
            self._steps.wait(step)
            await self._container(stage, step)
        except (StageError, SecretError, when.WhenError) as error:
            self._steps.fail(step, str(error), exit_code=getattr(error, "exit_code", 0))
            raise StageError(failures) from error
        except asyncio.CancelledError:
            self._steps.cancel(step)
            raise
        self._steps.succeed(step)

    async def _container(self, stage: PlannedStage, step: Step) -> None:
        """Run the container of a stage; StageError when it fails."""
        prepared = await self._ahead.prepared(self._resolve(stage))
        step.image = prepared.image
        self._steps.begin(step)
        if code := await self._execute(step, prepared):
            raise StageError(f"failed with exit code {code}", exit_code=code)

    def _is_due(self, stage: PlannedStage, step: Step) -> bool:
        """Return whether a stage runs; one that does not, or whose condition is broken, is told."""
        try:
            due = self._holds(stage.when)
        except when.WhenError as error:
            self._steps.fail(step, f"when: {error.reason} (at character {error.column} of {stage.when!r})")
            return False
        if not due:
            self._steps.skip(step)
            for inner in stage.parallel_stages:
                self._steps.skip(Step(inner.name, inner.auto_injected, parent=stage.name))
        return due

    def _holds(self, condition: str) -> bool:
        variables = self._variables()
        return when.evaluate(condition, variables | when.variables_of(variables, server=SERVER))

    def _resolve(self, stage: PlannedStage) -> StageRun:
        """Return a stage with references expanded and secrets opened."""
        variables = self._variables()

        def resolve(text: str) -> str:
            return self._open(expand(text, variables))

        properties = extension_variables(in_texts(stage.custom, resolve), in_texts(stage.env, resolve))
        return StageRun(
            name=stage.name,
            image=self._image(stage.image, variables),
            shell=stage.shell,
            work_dir=expand(stage.work_dir, variables),
            commands=stage.commands,
            run_commands_in_foreground=stage.run_commands_in_foreground,
            environment=stage_variables(
                self._plan, stage, status=self._status, started_at=self._started_at, open_secrets=self._open
            )
            | properties,
            workspace=self._workspace,
        )

    def _resolve_service(self, service: PlannedService) -> StageRun:
        """Return a service with references expanded and secrets opened."""
        return StageRun(
            name=service.name,
            image=self._image(service.image, self._variables()),
            shell=service.shell,
            work_dir="",
            commands=service.commands,
            run_commands_in_foreground=service.run_commands_in_foreground,
            environment=container_variables(
                self._plan,
                {"ESTAFETTE_SERVICE_NAME": service.name, **service.env},
                status=self._status,
                started_at=self._started_at,
                open_secrets=self._open,
            ),
            workspace=self._workspace,
            hostname=service.name,
        )

    def _image(self, image: str, variables: dict[str, str]) -> str:
        resolved = self._open(expand(image, variables))
        if not resolved:
            raise StageError("the stage has no image")
        return resolved

    async def _execute(self, step: Step, stage: PreparedStage) -> int:
        streams = {"stdout": Lines(self._masker), "stderr": Lines(self._masker)}
        say = partial(self._shipper.line, step.name, parent=step.parent, service=step.service)

        async def take(stream: str, data: bytes) -> None:
            for line in streams[stream].feed(data):
                say(line, stream=stream)
            await self._shipper.room()

        try:
            return await stage.run(take)
        finally:
            for stream, lines in streams.items():
                for line in lines.rest():
                    say(line, stream=stream)

    def _variables(self) -> dict[str, str]:
        return job_variables(self._plan, status=self._status, started_at=self._started_at)


def refuse(reason: str, *, shipper: Shipper, steps: Steps) -> None:
    """Tell why a job cannot be run at all."""
    steps.fail(_introduce(shipper), reason)


def _introduce(shipper: Shipper, more: str = "") -> Step:
    """Begin the first step of every log."""
    shipper.change(INFO, StageStatus.RUNNING, auto_injected=True)
    shipper.line(INFO, f"estafette builder {VERSION}{more}")
    return Step(INFO, auto_injected=True)


def empty(workspace: Path) -> None:
    """Make the workspace an empty folder, whatever an earlier attempt left in it."""
    workspace.mkdir(parents=True, exist_ok=True)
    for entry in workspace.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
