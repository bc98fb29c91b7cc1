"""One attempt of a job as a process: connect, run, tell everything, end."""

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop
from estafette_common.bus.connection import connect
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import Plan
from estafette_common.manifest.secrets import SecretError, decrypt_all
from estafette_common.telemetry import doing

from builder.cloning import Cloning
from builder.masking import Masker, secrets_of
from builder.reporting import Reporter
from builder.running import Job, empty
from builder.runtimes import StageRuntime, docker
from builder.runtimes.process import ProcessRuntime
from builder.settings import Settings, inherited
from builder.shipping import Shipper

log = structlog.get_logger()

STOPPED = 75
"""Exit code of an attempt that was stopped before its end (sysexits.h: try again)."""

REASONS = {Outcome.TIMED_OUT: "the job ran longer than it may"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is to be run, and where."""

    plan: Plan
    key: bytes
    number: int
    workspace: Path
    groups: Path
    """File that lists the process groups of running stages."""
    traceparent: str = ""


def run(attempt: Attempt, settings: Settings) -> int:
    """Run the attempt; returns 0 once its outcome is published, else a code that asks for another attempt."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_stopped(attempt, settings))


async def _until_stopped(attempt: Attempt, settings: Settings) -> int:
    work = asyncio.ensure_future(_run(attempt, settings))
    for stop in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stop, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        log.warning("stopped before the end", job=attempt.plan.job_name, attempt=attempt.number)
        return STOPPED
    log.info("job ended", job=attempt.plan.job_name, attempt=attempt.number)
    return 0


async def _run(attempt: Attempt, settings: Settings) -> None:
    plan = attempt.plan
    with doing(plan.job_name, {"traceparent": attempt.traceparent}):
        empty(attempt.workspace)
        try:
            values, rejected = secrets_of(plan, attempt.key), ""
        except SecretError as error:
            values, rejected = [], str(error)
        token = "" if rejected else _open(attempt, plan.clone_token)
        cloning = Cloning(plan, token=token, workspace=attempt.workspace, inherited=inherited())
        client, runtime = await asyncio.gather(
            connect(settings.nats_url, name=plan.job_name), _runtime(attempt, settings)
        )
        publisher = JetStreamPublisher(client, source="builder")
        await publisher.start()
        reporter = Reporter(publisher, plan, attempt=attempt.number)
        telling = [asyncio.ensure_future(reporter.run()), asyncio.ensure_future(reporter.beat(settings.heartbeat))]
        try:
            reporter.started()
            shipper = Shipper(publisher, plan, attempt=attempt.number, masker=Masker(values))
            outcome = await _work(attempt, shipper, reporter, runtime, cloning, rejected=rejected)
            reporter.finished(outcome, rejected or REASONS.get(outcome, ""))
            await reporter.drain()
        finally:
            cloning.cancel()
            for task in telling:
                task.cancel()
            await runtime.close()
            with suppress(Exception):
                await client.close()


async def _work(
    attempt: Attempt, shipper: Shipper, reporter: Reporter, runtime: StageRuntime, cloning: Cloning, *, rejected: str
) -> Outcome:
    """Run the job with its log; returns once all of the log is stored."""
    shipping = asyncio.ensure_future(shipper.run())
    job = Job(
        attempt.plan,
        workspace=attempt.workspace,
        runtime=runtime,
        shipper=shipper,
        reporter=reporter,
        cloning=cloning,
        open_secrets=lambda text: _open(attempt, text),
    )
    try:
        outcome = Outcome.REJECTED if rejected else await job.run()
        shipper.end(outcome)
        await shipping
    finally:
        shipping.cancel()
    return outcome


def _open(attempt: Attempt, text: str) -> str:
    return decrypt_all(text, key=attempt.key, pipeline=attempt.plan.repository.pipeline)


async def _runtime(attempt: Attempt, settings: Settings) -> StageRuntime:
    if settings.stage_runtime in {"docker", "auto"}:
        engine = await docker.connect()
        if engine is not None:
            runtime = docker.DockerRuntime(engine, job=attempt.plan.job_name)
            if attempt.number > 1:
                await runtime.clean()
            return runtime
        if settings.stage_runtime == "docker":
            raise RuntimeError("no Docker Engine answers; set ESTAFETTE_STAGE_RUNTIME=process to do without")
    return ProcessRuntime(inherited(), attempt.groups)
