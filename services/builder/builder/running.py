"""Running a job: its stages in order, each when it is due, and what becomes of the whole."""

import asyncio
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from estafette_common.bus.messages.logs import Image
from estafette_common.jobs.lifecycle import Outcome, StageStatus
from estafette_common.jobs.plan import Plan, PlannedStage
from estafette_common.manifest import when
from estafette_common.manifest.environment import expand, job_variables, stage_variables
from estafette_common.manifest.secrets import SecretError

from builder.cloning import CloneError, Cloning
from builder.lines import Lines
from builder.reporting import Reporter
from builder.runtimes import StageError, StageRun, StageRuntime
from builder.shipping import Shipper
from builder.statuses import aggregate

VERSION = version("estafette-builder")

INFO = "builder-info"
CLONE = "git-clone"


class Job:
    """One attempt of a job. `run` it once."""

    def __init__(
        self,
        plan: Plan,
        *,
        workspace: Path,
        runtime: StageRuntime,
        shipper: Shipper,
        reporter: Reporter,
        cloning: Cloning,
        open_secrets: Callable[[str], str],
    ) -> None:
        self._plan = plan
        self._workspace = workspace
        self._runtime = runtime
        self._shipper = shipper
        self._reporter = reporter
        self._open = open_secrets
        self._cloning = cloning
        self._started_at = datetime.now(UTC)
        self._statuses: list[StageStatus] = []

    async def run(self) -> Outcome:
        """Run all stages and return how the job ends; TimeoutError is one of the ends, cancellation is none."""
        try:
            async with asyncio.timeout(self._plan.timeout):
                await self._info()
                await self._clone()
                for stage in self._plan.stages:
                    await self._stage(stage)
        except TimeoutError:
            return Outcome.TIMED_OUT
        return aggregate(self._statuses)

    @property
    def _status(self) -> str:
        return "failed" if StageStatus.FAILED in self._statuses else "succeeded"

    async def _info(self) -> None:
        self._shipper.change(INFO, StageStatus.RUNNING, auto_injected=True)
        self._shipper.line(INFO, f"estafette builder {VERSION}, stage runtime {self._runtime.name}")
        if self._runtime.note:
            self._shipper.line(INFO, self._runtime.note)
        self._finish(INFO, StageStatus.SUCCEEDED, auto_injected=True)

    async def _clone(self) -> None:
        began = time.monotonic()
        self._begin(CLONE, auto_injected=True)
        say = lambda text: self._shipper.line(CLONE, text)  # noqa: E731  it is one word
        try:
            await self._cloning.follow(say)
        except CloneError as error:
            self._fail(CLONE, str(error), seconds=time.monotonic() - began, auto_injected=True)
        else:
            self._finish(CLONE, StageStatus.SUCCEEDED, seconds=time.monotonic() - began, auto_injected=True)

    async def _stage(self, stage: PlannedStage) -> None:
        try:
            due = when.evaluate(stage.when, self._variables() | self._when_variables())
        except when.WhenError as error:
            self._fail(stage.name, f"when: {error.reason} (at character {error.column} of {stage.when!r})")
            return
        if not due:
            self._finish(stage.name, StageStatus.SKIPPED, auto_injected=stage.auto_injected)
            return
        began, image = time.monotonic(), None
        try:
            run = self._resolve(stage)
            image = await self._prepare(stage, run)
            began = time.monotonic()
            code = await self._execute(run)
        except (StageError, SecretError) as error:
            self._fail(stage.name, str(error), image=image, seconds=time.monotonic() - began)
            return
        seconds = time.monotonic() - began
        if code:
            self._fail(stage.name, f"failed with exit code {code}", image=image, seconds=seconds, exit_code=code)
        else:
            self._finish(
                stage.name, StageStatus.SUCCEEDED, image=image, seconds=seconds, auto_injected=stage.auto_injected
            )

    def _resolve(self, stage: PlannedStage) -> StageRun:
        """Return the stage with references expanded and secrets opened."""
        variables = self._variables()
        return StageRun(
            name=stage.name,
            image=self._open(expand(stage.image, variables)),
            shell=stage.shell,
            work_dir=expand(stage.work_dir, variables),
            commands=stage.commands,
            environment=stage_variables(
                self._plan, stage, status=self._status, started_at=self._started_at, open_secrets=self._open
            ),
            workspace=self._workspace,
        )

    async def _prepare(self, stage: PlannedStage, run: StageRun) -> Image | None:
        if not run.image:
            raise StageError("the stage has no image")
        self._shipper.change(stage.name, StageStatus.PENDING, auto_injected=stage.auto_injected)
        image = await self._runtime.prepare(run.image)
        self._begin(stage.name, image=image, auto_injected=stage.auto_injected)
        return image

    async def _execute(self, run: StageRun) -> int:
        streams = {"stdout": Lines(), "stderr": Lines()}

        async def take(stream: str, data: bytes) -> None:
            for line in streams[stream].feed(data):
                self._shipper.line(run.name, line, stream=stream)
            await self._shipper.room()

        try:
            return await self._runtime.run(run, take)
        finally:
            for stream, lines in streams.items():
                for line in lines.rest():
                    self._shipper.line(run.name, line, stream=stream)

    def _variables(self) -> dict[str, str]:
        return job_variables(self._plan, status=self._status, started_at=self._started_at)

    def _when_variables(self) -> dict[str, str]:
        return {"branch": self._plan.branch, "status": self._status, "action": "", "server": "estafette", "trigger": ""}

    def _begin(self, stage: str, *, image: Image | None = None, auto_injected: bool = False) -> None:
        self._shipper.change(stage, StageStatus.RUNNING, image=image, auto_injected=auto_injected)
        self._reporter.stage(stage, StageStatus.RUNNING)

    def _fail(
        self,
        stage: str,
        reason: str,
        *,
        image: Image | None = None,
        seconds: float = 0.0,
        exit_code: int = 0,
        auto_injected: bool = False,
    ) -> None:
        self._shipper.line(stage, reason, stream="stderr")
        self._finish(
            stage,
            StageStatus.FAILED,
            image=image,
            seconds=seconds,
            exit_code=exit_code,
            auto_injected=auto_injected,
        )

    def _finish(
        self,
        stage: str,
        status: StageStatus,
        *,
        image: Image | None = None,
        seconds: float = 0.0,
        exit_code: int = 0,
        auto_injected: bool = False,
    ) -> None:
        self._statuses.append(status)
        self._shipper.change(
            stage, status, image=image, seconds=seconds, exit_code=exit_code, auto_injected=auto_injected
        )
        self._reporter.stage(stage, status, seconds=seconds, exit_code=exit_code)


def empty(workspace: Path) -> None:
    """Make the workspace an empty folder, whatever an earlier attempt left in it."""
    workspace.mkdir(parents=True, exist_ok=True)
    for entry in workspace.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
