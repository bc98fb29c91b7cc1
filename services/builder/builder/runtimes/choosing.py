"""Where the stages of a job run: the machine's Docker Engine, one of the job's own, or processes."""

import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import aiodocker
from estafette_common.jobs.plan import Plan

from builder.dind import OwnEngineError, own_engine
from builder.runtimes import StageRuntime, docker
from builder.runtimes.process import ProcessRuntime
from builder.settings import Settings, inherited

NO_ENGINE = "no Docker Engine answers; set ESTAFETTE_STAGE_RUNTIME=process to do without"


class NoRuntimeError(Exception):
    """Stages cannot run here; the message says why."""


async def choose(plan: Plan, settings: Settings, group: Path, *, again: bool, held: AsyncExitStack) -> StageRuntime:
    """Return where the stages of a plan run, which `held` closes. Raises NoRuntimeError.

    `group` is the file that names the process group of what runs. When the job is begun `again`, what an earlier
    attempt left with the engine is removed.
    """
    runtime = await _runtime(plan, settings, group, held)
    held.push_async_callback(runtime.close)
    if again and isinstance(runtime, docker.DockerRuntime):
        await runtime.clean()
    return runtime


async def clean(job: str, settings: Settings) -> None:
    """Remove what a job without a builder left with the container engine."""
    engine = await docker.connect() if settings.stage_runtime in {"docker", "auto"} else None
    if engine is not None:
        runtime = docker.DockerRuntime(engine, job=job)
        await runtime.clean()
        await runtime.close()


async def _runtime(
    plan: Plan, settings: Settings, group: Path, held: AsyncExitStack
) -> docker.DockerRuntime | ProcessRuntime:
    if settings.stage_runtime in {"docker", "auto"}:
        engine = await _engine(plan, settings, held)
        if engine is not None:
            networked = any(stage.services for stage in plan.stages)
            return docker.DockerRuntime(engine, job=plan.job_name, networked=networked)
        if settings.stage_runtime == "docker":
            raise NoRuntimeError(NO_ENGINE)
    return ProcessRuntime(inherited(), group)


async def _engine(plan: Plan, settings: Settings, held: AsyncExitStack) -> aiodocker.Docker | None:
    """Return a connection to the engine of this machine, or to one of the job's own where nobody else is beside it."""
    wanted = plan.own_engine
    if wanted is None or settings.plan_file is None:
        return await docker.connect()
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    held.callback(shutil.rmtree, folder, ignore_errors=True)
    try:
        return await docker.connect(await held.enter_async_context(own_engine(wanted, folder)))
    except OwnEngineError as error:
        raise NoRuntimeError(str(error)) from error
