import base64
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import nats
import pytest
from aiohttp import web
from estafette_common.bus.messages.jobs import JobCancel, JobDispatched, JobFailedToStart, JobFinished, JobRequested
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_common.manifest.secrets import seal_key
from estafette_local import plans
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from job_dispatcher.app import create_app
from job_dispatcher.settings import Settings
from nats.js import JetStreamContext

SECRET_KEY = bytes(range(32))
JOB_KEY = bytes(reversed(range(32)))


def request(*, job_id: str = "", secret_key: bytes = SECRET_KEY) -> JobRequested:
    job_id = job_id or str(uuid4().int >> 65)
    plan = plans.plan(
        job_id=job_id,
        stages=(PlannedStage(name="test", image="busybox:latest", commands=("true",)),),
    )
    sealed = seal_key(JOB_KEY, secret_key=secret_key, job_id=job_id)
    return JobRequested(kind=Kind.BUILD, job_id=job_id, plan=plan, sealed_key=sealed)


class Bus:
    """What the dispatcher is asked and what it answers."""

    def __init__(self, jetstream: JetStreamContext, publisher: JetStreamPublisher) -> None:
        self.jetstream = jetstream
        self._publisher = publisher

    async def ask(self, message: JobRequested, *, id: str = "") -> None:
        await self._publisher.publish(message, id=id or str(uuid4()))

    async def finish(self, message: JobRequested) -> None:
        end = JobFinished(
            kind=Kind.BUILD, job_id=message.job_id, attempt=1, outcome=Outcome.SUCCEEDED, time=datetime.now(UTC)
        )
        await self._publisher.publish(end, id=f"{message.job_id}-finished")

    async def cancel(self, message: JobRequested) -> None:
        cancel = JobCancel(kind=Kind.BUILD, job_id=message.job_id, reason="enough")
        await self._publisher.publish(cancel, id=f"{message.job_id}-cancel")

    async def dispatched(self, message: JobRequested) -> JobDispatched:
        found = await self.jetstream.get_last_msg("JOBS", f"job.build.{message.job_id}.dispatched")
        return JobDispatched.decode(found.data or b"", {})

    async def failed_to_start(self, message: JobRequested) -> JobFailedToStart:
        found = await self.jetstream.get_last_msg("JOBS", f"job.build.{message.job_id}.failed-to-start")
        return JobFailedToStart.decode(found.data or b"", {})

    async def count(self, message: JobRequested, what: str) -> int:
        subject = f"job.build.{message.job_id}.{what}"
        state = (await self.jetstream.stream_info("JOBS", subjects_filter=subject)).state
        return (state.subjects or {}).get(subject, 0)

    async def open(self) -> int:
        """Return the requests that are not settled yet."""
        info = await self.jetstream.consumer_info("JOBS", "dispatcher-job-requested")
        return (info.num_pending or 0) + (info.num_ack_pending or 0)


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    client = await nats.connect(nats_server.url, max_reconnect_attempts=-1)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    yield Bus(client.jetstream(), publisher)
    await client.close()


def settings(nats_server: NatsServer, host: Any) -> Settings:
    key: Any = base64.b64encode(SECRET_KEY).decode()
    return Settings(nats_url=nats_server.url, local_socket=host.socket, secret_key=key, shutdown_grace=2.0)


@pytest.fixture
async def replicas(nats_server: NatsServer, bus: Bus, host: Any) -> AsyncIterator[None]:
    """Two replicas of the service."""
    runners = [web.AppRunner(create_app(settings(nats_server, host))) for _ in range(2)]
    for runner in runners:
        await runner.setup()
    await eventually(lambda: _exists(bus), within=20)
    yield
    for runner in runners:
        await runner.cleanup()
    await host.remove_all()


@pytest.mark.usefixtures("replicas")
async def test_a_request_becomes_a_job_and_is_told(bus: Bus, host: Any) -> None:
    host.start()
    wanted = request()

    await bus.ask(wanted)

    told = await eventually(lambda: bus.dispatched(wanted), within=20)
    assert (told.runtime, told.name) == ("local", wanted.plan.job_name)
    assert await host.jobs() == [wanted.plan.job_name]


@pytest.mark.usefixtures("replicas")
async def test_a_request_that_comes_again_and_again_gives_one_job(bus: Bus, host: Any) -> None:
    host.start()
    wanted = request()

    for _ in range(5):
        await bus.ask(wanted)

    await eventually(lambda: _settled(bus), within=20)
    assert await host.jobs() == [wanted.plan.job_name]


@pytest.mark.usefixtures("replicas")
async def test_a_job_that_ended_is_not_started_by_a_late_request(bus: Bus, host: Any) -> None:
    host.start()
    late, other = request(), request()
    await bus.finish(late)

    await bus.ask(late)
    await bus.ask(other)

    await eventually(lambda: bus.dispatched(other), within=20)
    await eventually(lambda: _settled(bus), within=20)
    assert await host.jobs() == [other.plan.job_name]
    assert await bus.count(late, "dispatched") == 0


@pytest.mark.usefixtures("replicas")
async def test_a_canceled_job_is_not_started_by_a_late_request_and_gone(bus: Bus, host: Any) -> None:
    host.start()
    late, other = request(), request()
    await bus.cancel(late)

    await bus.ask(late)
    await bus.ask(other)

    await eventually(lambda: bus.dispatched(other), within=20)
    await eventually(lambda: _settled(bus), within=20)
    assert await host.jobs() == [other.plan.job_name]
    assert await bus.count(late, "dispatched") == 0
    assert await eventually(lambda: bus.count(late, "gone"), within=20) == 1


@pytest.mark.usefixtures("replicas")
async def test_requests_wait_for_a_runtime_that_is_away_and_none_is_lost(bus: Bus, host: Any) -> None:
    waiting = [request() for _ in range(20)]
    for wanted in waiting:
        await bus.ask(wanted)
    await eventually(lambda: _tried(bus), within=20)
    assert await bus.open() == 20

    host.start()

    await eventually(lambda: _settled(bus), within=60)
    assert sorted(await host.jobs()) == sorted(wanted.plan.job_name for wanted in waiting)
    for wanted in waiting:
        assert await bus.count(wanted, "dispatched") == 1
        assert await bus.count(wanted, "failed-to-start") == 0


@pytest.mark.usefixtures("replicas")
async def test_a_key_of_another_planner_fails_to_start_and_says_what_to_mend(bus: Bus, host: Any) -> None:
    host.start()
    wanted = request(secret_key=bytes(32))

    await bus.ask(wanted)

    told = await eventually(lambda: bus.failed_to_start(wanted), within=20)
    assert "planner and dispatcher need the same secret key" in told.reason
    assert wanted.sealed_key not in told.reason
    assert await eventually(lambda: _jobs(host), within=20) == ([],)
    assert await bus.count(wanted, "dispatched") == 0


@pytest.mark.usefixtures("replicas")
async def test_a_key_sealed_for_another_job_fails_to_start(bus: Bus, host: Any) -> None:
    host.start()
    wanted = request().model_copy(update={"sealed_key": request().sealed_key})

    await bus.ask(wanted)

    await eventually(lambda: bus.failed_to_start(wanted), within=20)
    assert await eventually(lambda: _jobs(host), within=20) == ([],)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_process_that_ends_leaves_its_requests_to_the_next(
    nats_server: NatsServer, bus: Bus, host: Any, how: signal.Signals
) -> None:
    wanted = request()
    await bus.ask(wanted)
    first = _process(nats_server, host)
    try:
        await eventually(lambda: _tried(bus), within=30)
        first.send_signal(how)
        await eventually(lambda: first.poll() is not None)
        assert first.returncode == (0 if how is signal.SIGTERM else -how)
    finally:
        first.kill()
        first.wait()

    host.start()
    second = _process(nats_server, host)
    try:
        await eventually(lambda: bus.dispatched(wanted), within=40)
        assert await host.jobs() == [wanted.plan.job_name]
    finally:
        await host.remove_all()
        second.kill()
        second.wait()


def _process(nats_server: NatsServer, host: Any) -> "subprocess.Popen[bytes]":
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")},
        "ESTAFETTE_NATS_URL": nats_server.url,
        "ESTAFETTE_PORT": str(free_port()),
        "ESTAFETTE_LOCAL_SOCKET": str(host.socket),
        "ESTAFETTE_SECRET_KEY": base64.b64encode(SECRET_KEY).decode(),
        "ESTAFETTE_SHUTDOWN_GRACE": "2",
    }
    command = [sys.executable, "-P", "-m", "job_dispatcher"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _jobs(host: Any) -> tuple[list[str]]:
    """Return the host's jobs once it answers."""
    return (await host.jobs(),)


async def _exists(bus: Bus) -> bool:
    await bus.open()
    return True


async def _settled(bus: Bus) -> bool:
    return await bus.open() == 0


async def _tried(bus: Bus) -> bool:
    """Return whether a request was tried and will be again."""
    return bool((await bus.jetstream.consumer_info("JOBS", "dispatcher-job-requested")).num_redelivered)
