"""A job run in somebody's own folder, told to a terminal and ended by Ctrl-C."""

import asyncio
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from estafette_common.jobs.lifecycle import Outcome, StageStatus
from estafette_common.jobs.plan import Plan

from builder.masking import Masker
from builder.reporting import Reporter
from builder.running import Ended, Job
from builder.runtimes import StageRuntime, docker
from builder.runtimes.process import ProcessRuntime
from builder.settings import inherited
from builder.shipping import Shipper
from builder.statuses import aggregate
from builder.steps import Steps
from builder.terminal import Terminal

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

CANCELED = Ended(Outcome.CANCELED)


class NoEngineError(Exception):
    """Stages were to run in containers, and there is no engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalJob:
    """A job, and the folder that is its workspace as it is."""

    plan: Plan
    folder: Path
    status: str
    """What the first stage sees: `succeeded` or `failed`."""
    open_secrets: Callable[[str], str]
    masker: Masker
    terminal: Terminal

    async def run(self, wanted: str) -> Ended:
        """Run the job in the `wanted` runtime (`docker`, `process`, `auto`), and print its log. Raises NoEngineError.

        BrokenPipeError when nobody reads the log any more; the job is ended then.
        """
        with tempfile.TemporaryDirectory(prefix="estafette-run-") as scripts:
            runtime = await _runtime(wanted, self.plan, Path(scripts))
            try:
                return await self._run_in(runtime)
            except* BrokenPipeError as errors:
                raise BrokenPipeError from errors
            finally:
                await runtime.close()

    async def _run_in(self, runtime: StageRuntime) -> Ended:
        shipper = Shipper(self.terminal, self.plan, attempt=1, masker=self.masker)
        # What a reporter tells is for servers; it is never sent.
        steps = Steps(shipper, Reporter(self.terminal, self.plan, attempt=1, masker=self.masker))
        before = [StageStatus.FAILED] if self.status == "failed" else []
        steps.statuses += before
        job = Job(
            self.plan,
            workspace=self.folder,
            runtime=runtime,
            shipper=shipper,
            steps=steps,
            masker=self.masker,
            open_secrets=self.open_secrets,
        )
        work = asyncio.ensure_future(_told(job, shipper))
        with _ended_by_signals(job, work, self.terminal):
            try:
                ended = await work
            except asyncio.CancelledError:
                return CANCELED
        if ended.outcome is Outcome.FAILED and before:
            return Ended(aggregate(steps.statuses[len(before) :]))  # what failed before is not of this job
        return ended


async def _told(job: Job, shipper: Shipper) -> Ended:
    """Run the job; return once all of its log is printed."""
    async with asyncio.TaskGroup() as group:
        group.create_task(shipper.run())
        ended = await job.run(None)
        shipper.end(ended.outcome)
    return ended


@contextmanager
def _ended_by_signals(job: Job, work: asyncio.Future[Ended], terminal: Terminal) -> Iterator[None]:
    """The first signal asks stages to end and waits for them, any further one ends them."""
    asked = 0

    def end() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            job.cancel("canceled at the terminal")
            terminal.say(terminal.ink("» ending the stages that run; once more to end them at once", "dim"))
        else:
            work.cancel()

    loop = asyncio.get_running_loop()
    for ending in ENDINGS:
        loop.add_signal_handler(ending, end)
    try:
        yield
    finally:
        for ending in ENDINGS:
            loop.add_signal_handler(ending, lambda: None)  # what is left to be removed is removed


async def _runtime(wanted: str, plan: Plan, scripts: Path) -> StageRuntime:
    engine = None if wanted == "process" else await docker.connect()
    if engine is not None:
        networked = any(stage.services for stage in plan.stages)
        return docker.DockerRuntime(engine, job=plan.job_name, networked=networked, scripts=scripts)
    if wanted == "docker":
        raise NoEngineError
    return ProcessRuntime(inherited(), Path("/dev/null"), scripts=scripts)
