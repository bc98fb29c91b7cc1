"""Containers that run beside stages."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from estafette_common.jobs.plan import PlannedService, PlannedStage
from estafette_common.manifest.secrets import SecretError

from builder.probing import wait_until_ready
from builder.runtimes import PreparedStage, StageError, StageRun, StageRuntime
from builder.steps import Step, Steps

Execute = Callable[[Step, PreparedStage], Awaitable[int]]
"""Runs a prepared stage to its end, with its output in the log of a step."""


@dataclass(frozen=True, slots=True)
class _Running:
    step: Step
    task: asyncio.Task[None]
    multi_stage: bool


class Services:
    """Starts services of stages, and ends them: those of one stage after it, the others with the job."""

    def __init__(
        self,
        runtime: StageRuntime,
        steps: Steps,
        *,
        resolve: Callable[[PlannedService], StageRun],
        execute: Execute,
    ) -> None:
        self._runtime = runtime
        self._steps = steps
        self._resolve = resolve
        self._execute = execute
        self._running: list[_Running] = []

    async def start(self, stage: PlannedStage, services: list[PlannedService]) -> None:
        """Start services at once; return when all are ready. Raises StageError for the first that is not."""
        if not services:
            return
        try:
            async with asyncio.TaskGroup() as group:
                for service in services:
                    group.create_task(self._start(stage, service))
        except* StageError as errors:
            raise StageError(str(errors.exceptions[0])) from errors

    async def stop(self, *, all_of_them: bool) -> None:
        """End the services of single stages, or all."""
        ending = [each for each in self._running if all_of_them or not each.multi_stage]
        self._running = [each for each in self._running if each not in ending]
        for each in ending:
            each.task.cancel()
        if ending:
            await asyncio.wait([each.task for each in ending])

    async def _start(self, stage: PlannedStage, service: PlannedService) -> None:
        step = self._steps.wait(Step(service.name, parent=stage.name, service=True))
        try:
            prepared = await self._runtime.prepare(self._resolve(service), partial(self._steps.say, step))
        except (StageError, SecretError) as error:
            self._steps.fail(step, str(error))
            raise StageError(f"service {service.name}: {error}") from error
        except asyncio.CancelledError:
            self._steps.cancel(step)
            raise
        step.image = prepared.image
        self._steps.begin(step)
        running = _Running(step, asyncio.create_task(self._run(step, prepared)), service.multi_stage)
        self._running.append(running)
        if service.readiness is not None:
            await self._ready(running, service, prepared)

    async def _ready(self, running: _Running, service: PlannedService, prepared: PreparedStage) -> None:
        """Wait for a service, for as long as it runs."""
        assert service.readiness is not None  # noqa: S101  for the type checker
        asking = asyncio.ensure_future(wait_until_ready(prepared, service.readiness))
        try:
            await asyncio.wait([asking, running.task], return_when=asyncio.FIRST_COMPLETED)
            problem = asking.exception() if asking.done() else StageError("ended before it was ready")
        finally:
            asking.cancel()
        if problem is None:
            return
        self._steps.fail(running.step, str(problem))
        raise StageError(f"service {service.name}: {problem}") from problem

    async def _run(self, step: Step, prepared: PreparedStage) -> None:
        """Run a service until it ends by itself, or is ended by us."""
        code, reason = 0, ""
        try:
            code = await self._execute(step, prepared)
        except asyncio.CancelledError:
            pass  # ended by us, as it should
        except StageError as error:
            reason = str(error)
        if code or reason:
            self._steps.fail(step, reason or f"failed with exit code {code}", exit_code=code)
        else:
            self._steps.succeed(step)
