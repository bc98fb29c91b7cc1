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
from estafette_common.jobs.plan import Plan, PlannedStage
from estafette_common.manifest import when
from estafette_common.manifest.environment import expand, job_variables, stage_variables
from estafette_common.manifest.secrets import SecretError

from builder.cloning import CloneError, Cloning
from builder.lines import Lines
from builder.masking import Masker
from builder.preparing import Preparing
from builder.runtimes import PreparedStage, StageError, StageRun, StageRuntime
from builder.shipping import Shipper
from builder.statuses import aggregate
from builder.steps import Step, Steps

VERSION = version("estafette-builder")

INFO = "builder-info"
CLONE = "git-clone"

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
            self._steps.fail_current(TOO_LONG)
            return Ended(Outcome.TIMED_OUT, TOO_LONG)
        finally:
            await self._ahead.drop()
        return Ended(aggregate(self._steps.statuses))

    @property
    def _status(self) -> str:
        return "failed" if self._steps.has_failed else "succeeded"

    def _look_ahead(self) -> None:
        """Prepare the first stage while the workspace is filled, as it will be if nothing fails."""
        for stage in self._plan.stages[:1]:
            try:
                if self._is_due(stage):
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
        try:
            due = self._is_due(stage)
        except when.WhenError as error:
            reason = f"when: {error.reason} (at character {error.column} of {stage.when!r})"
            self._steps.fail(Step(stage.name, stage.auto_injected), reason)
            return
        if not due:
            self._steps.skip(stage.name, auto_injected=stage.auto_injected)
            return
        step = self._steps.wait(stage.name, auto_injected=stage.auto_injected)
        try:
            prepared = await self._ahead.prepared(self._resolve(stage))
            step.image = prepared.image
            self._steps.begin(step)
            code = await self._execute(stage.name, prepared)
        except (StageError, SecretError) as error:
            self._steps.fail(step, str(error))
            return
        if code:
            self._steps.fail(step, f"failed with exit code {code}", exit_code=code)
        else:
            self._steps.succeed(step)

    def _is_due(self, stage: PlannedStage) -> bool:
        about = {
            "branch": self._plan.branch,
            "status": self._status,
            "action": "",
            "server": "estafette",
            "trigger": "",
        }
        return when.evaluate(stage.when, self._variables() | about)

    def _resolve(self, stage: PlannedStage) -> StageRun:
        """Return the stage with references expanded and secrets opened."""
        variables = self._variables()
        image = self._open(expand(stage.image, variables))
        if not image:
            raise StageError("the stage has no image")
        return StageRun(
            name=stage.name,
            image=image,
            shell=stage.shell,
            work_dir=expand(stage.work_dir, variables),
            commands=stage.commands,
            run_commands_in_foreground=stage.run_commands_in_foreground,
            environment=stage_variables(
                self._plan, stage, status=self._status, started_at=self._started_at, open_secrets=self._open
            ),
            workspace=self._workspace,
        )

    async def _execute(self, name: str, stage: PreparedStage) -> int:
        streams = {"stdout": Lines(self._masker), "stderr": Lines(self._masker)}

        async def take(stream: str, data: bytes) -> None:
            for line in streams[stream].feed(data):
                self._shipper.line(name, line, stream=stream)
            await self._shipper.room()

        try:
            return await stage.run(take)
        finally:
            for stream, lines in streams.items():
                for line in lines.rest():
                    self._shipper.line(name, line, stream=stream)

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
