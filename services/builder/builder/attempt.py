"""One attempt of a job as a process: connect, run, tell everything, end."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from estafette_common.bus import subjects
from estafette_common.bus.connection import connect
from estafette_common.bus.credentials import inbox
from estafette_common.bus.messages.jobs import JobCancel
from estafette_common.bus.publishing import JetStreamPublisher, NotNextError
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import Plan
from estafette_common.manifest.secrets import SecretError, decrypt_all
from estafette_common.telemetry import doing
from nats.aio.client import Client
from nats.aio.msg import Msg

from builder.cloning import Cloning
from builder.masking import Masker, secrets_of
from builder.measuring import Meter, meter
from builder.progress import Earlier, take_up
from builder.reporting import Reporter
from builder.running import Ended, Job, refuse
from builder.runtimes import StageRuntime, beside
from builder.runtimes.choosing import NoRuntimeError, choose
from builder.settings import Settings, inherited
from builder.shipping import Shipper
from builder.spool import Spool
from builder.steps import Steps

log = structlog.get_logger()

STOPPED = 75
"""Exit code of an attempt that was stopped before its end (sysexits.h: try again)."""

TELL_WITHIN = 90.0
"""Seconds after a job's limit in which its end may be told; what NATS does not take by then is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is to be run, and where."""

    plan: Plan
    key: bytes
    number: int
    workspace: Path
    group: Path
    """File that names the process group of what runs."""
    traceparent: str = ""
    nats_credentials: Path | None = None
    """File of the credential made for the job; none: NATS takes it without."""
    cgroups: Path | None = None
    """Where control groups are, if the container is the job's alone; none: what it takes is not measured."""
    begun_before: int | None = None
    """Sequence of the last `started` of the job before this attempt; where there is a later one, it is not begun."""


def run(attempt: Attempt, settings: Settings) -> int:
    """Run the attempt; returns 0 once its outcome is published or nobody could be told in time.

    Any other code asks for another attempt.
    """
    return asyncio.run(_until_stopped(attempt, settings))


async def _until_stopped(attempt: Attempt, settings: Settings) -> int:
    ending = asyncio.Event()
    work = asyncio.ensure_future(_run(attempt, settings, ending))

    def stop() -> None:
        if not ending.is_set():
            work.cancel()

    for signal_of_end in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_of_end, stop)
    try:
        await work
    except asyncio.CancelledError:
        log.warning("stopped before the end", job=attempt.plan.job_name, attempt=attempt.number)
        return STOPPED
    except NotNextError:
        log.warning("another pod began it", job=attempt.plan.job_name, attempt=attempt.number)
        return STOPPED
    except _GaveUpError:
        log.warning("NATS was away until the job's limit", job=attempt.plan.job_name, attempt=attempt.number)
        return 0
    log.info("job ended", job=attempt.plan.job_name, attempt=attempt.number)
    return 0


async def _run(attempt: Attempt, settings: Settings, ending: asyncio.Event) -> None:
    """Run the attempt and tell of it. `ending` is set once its end is sure, and has only to be told."""
    with doing(attempt.plan.job_name, {"traceparent": attempt.traceparent}):
        earlier = take_up(attempt.plan.stages, attempt.workspace)
        async with AsyncExitStack() as held:
            try:
                values, refusal = secrets_of(attempt.plan, attempt.key), None
            except SecretError as error:
                values, refusal = [], Ended(Outcome.REJECTED, str(error))
            cloned = bool(refusal or earlier.kept or not attempt.plan.clone)
            async with _giving_up_after(attempt.plan.timeout):
                client, runtime, cloning = await asyncio.gather(
                    _connect(attempt, settings), _runtime(attempt, settings, held), _clone(attempt, held, cloned=cloned)
                )
            held.push_async_callback(_close, client)
            teller = await _teller(client, attempt, settings, Masker(values))
            async with _giving_up_after(attempt.plan.timeout + TELL_WITHIN):
                await _begin(teller.reporter, attempt)
                place = refusal or runtime
                if isinstance(place, Ended):
                    await _tell(teller, settings, _refuse(teller, place))
                else:
                    job = _job(teller, attempt, place, earlier)
                    await _hear(client, attempt.plan, job, ending)
                    await _tell(teller, settings, _work(teller, job.run(cloning, kept=earlier.kept), place, ending))


class _GaveUpError(Exception):
    """The time of the job was over, and NATS away."""


@asynccontextmanager
async def _giving_up_after(seconds: float) -> AsyncIterator[None]:
    """Let what takes longer end with _GaveUpError."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise _GaveUpError from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Teller:
    """All that an attempt tells goes through these."""

    masker: Masker
    reporter: Reporter
    shipper: Shipper
    steps: Steps
    meter: Meter


async def _teller(client: Client, attempt: Attempt, settings: Settings, masker: Masker) -> _Teller:
    publisher = JetStreamPublisher(client, source="builder", id_key=attempt.key)
    await publisher.start()
    plan, number = attempt.plan, attempt.number
    reporter = Reporter(publisher, plan, attempt=number, masker=masker)
    spool = Spool(beside(attempt.workspace), most_bytes=settings.spool_bytes)
    shipper = Shipper(publisher, plan, attempt=number, masker=masker, largest_message=client.max_payload, spool=spool)
    return _Teller(
        masker=masker,
        reporter=reporter,
        shipper=shipper,
        steps=Steps(shipper, reporter),
        meter=meter(attempt.cgroups, engine=plan.own_engine is not None),
    )


async def _begin(reporter: Reporter, attempt: Attempt) -> None:
    if attempt.begun_before is None:
        reporter.started()
    else:
        await reporter.claim(attempt.begun_before)


async def _tell(teller: _Teller, settings: Settings, work: Coroutine[Any, Any, Ended]) -> None:
    """Do the work and tell of it; return once everything is stored."""
    reporter = teller.reporter
    async with asyncio.TaskGroup() as group:
        for_ever = [
            group.create_task(each) for each in (reporter.run(), reporter.beat(settings.heartbeat), teller.meter.run())
        ]
        shipping = group.create_task(teller.shipper.run())
        ended = await work
        await shipping
        reporter.finished(ended.outcome, ended.reason, teller.meter.usage())
        await reporter.drain()
        for task in for_ever:
            task.cancel()


async def _refuse(teller: _Teller, ended: Ended) -> Ended:
    refuse(ended.reason, shipper=teller.shipper, steps=teller.steps)
    teller.shipper.end(ended.outcome)
    return ended


def _job(teller: _Teller, attempt: Attempt, runtime: StageRuntime, earlier: Earlier) -> Job:
    return Job(
        attempt.plan,
        workspace=attempt.workspace,
        runtime=runtime,
        shipper=teller.shipper,
        steps=teller.steps,
        masker=teller.masker,
        open_secrets=partial(_open, attempt),
        progress=earlier.progress,
    )


async def _work(
    teller: _Teller, job: Coroutine[Any, Any, Ended], runtime: StageRuntime, ending: asyncio.Event
) -> Ended:
    """Run the job; return once nothing is left of it, while its log is still told."""
    ended = await job
    ending.set()
    teller.shipper.end(ended.outcome)
    await runtime.close()
    return ended


async def _hear(client: Client, plan: Plan, job: Job, ending: asyncio.Event) -> None:
    """Cancel the job when somebody asks for it, from now on while the client is connected."""

    async def canceled(message: Msg) -> None:
        cancel = JobCancel.decode(message.data, message.headers or {})  # answers to other jobs can be led here
        ending.set()
        job.cancel(cancel.reason)

    await client.subscribe(subjects.fill(JobCancel.SUBJECT, kind=plan.kind, job_id=plan.job_id), cb=canceled)


async def _clone(attempt: Attempt, held: AsyncExitStack, *, cloned: bool) -> Cloning | None:
    """Begin to clone, unless that is done or not to be done; it goes on while NATS is away."""
    if cloned:
        return None
    cloning = Cloning(
        attempt.plan,
        token=_open(attempt, attempt.plan.clone_token),
        workspace=attempt.workspace,
        inherited=inherited(),
        group=attempt.group,
    )
    held.push_async_callback(cloning.cancel)
    return cloning


def _open(attempt: Attempt, text: str) -> str:
    return decrypt_all(text, key=attempt.key, pipeline=attempt.plan.repository.pipeline)


async def _connect(attempt: Attempt, settings: Settings) -> Client:
    plan = attempt.plan
    own_inbox = inbox(plan.kind, plan.job_id)
    return await connect(settings.nats_url, name=plan.job_name, credentials=attempt.nats_credentials, inbox=own_inbox)


async def _runtime(attempt: Attempt, settings: Settings, held: AsyncExitStack) -> StageRuntime | Ended:
    try:
        return await choose(attempt.plan, settings, attempt.group, again=attempt.number > 1, held=held)
    except NoRuntimeError as error:
        return Ended(Outcome.LOST, str(error))


async def _close(client: Client) -> None:
    with suppress(Exception):
        await client.close()
