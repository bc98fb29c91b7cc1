"""A builder on a NATS that lets it tell and hear of its own job only."""

import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
from estafette_common.bus import accounts
from estafette_common.bus.credentials import Key, inbox, job_credential
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_common.jobs.runtimes import JobSpec
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from nats.aio.client import RawCredentials
from nats.js import JetStreamContext


@pytest.fixture
def nats_server(guarded_nats_server: NatsServer) -> NatsServer:
    return guarded_nats_server


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    credentials = _accounts(nats_server) / accounts.SERVICES_CREDENTIAL
    client = await nats.connect(nats_server.url, user_credentials=credentials, max_reconnect_attempts=-1)
    await declare(client.jetstream(), [])
    yield client.jetstream()
    await client.close()


async def test_a_job_tells_all_with_its_own_credential(machine: Any, nats_server: NatsServer) -> None:
    await _start(machine, nats_server, "echo hello")

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert await machine.printed("test") == ["hello"]
    file = machine.job_folder / "nats.creds"
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_job_comes_back_to_a_server_that_was_killed(
    machine: Any, nats_server: NatsServer, folder: Path
) -> None:
    await _start(machine, nats_server, "echo began", _until(folder / "go"), "echo ended")
    await eventually(lambda: machine.says("test", "began"))

    nats_server.stop(signal.SIGKILL)
    (folder / "go").touch()
    nats_server.start()

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert await machine.printed("test") == ["began", "ended"]


async def test_an_answer_that_another_job_leads_to_its_cancel_changes_nothing(
    machine: Any, nats_server: NatsServer, folder: Path
) -> None:
    await _start(machine, nats_server, "echo began", _until(folder / "go"))
    await eventually(lambda: machine.says("test", "began"))
    other = await nats.connect(
        nats_server.url,
        user_credentials=RawCredentials(_credential(nats_server, "2")),
        inbox_prefix=inbox(Kind.BUILD, "2"),
    )

    await other.publish("log.build.2", b"", reply=machine.subject("cancel"))
    await other.request("log.build.2", b"", timeout=2)
    await other.close()
    (folder / "go").touch()

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED


async def _start(machine: Any, nats_server: NatsServer, *commands: str) -> None:
    plan = machine.plan(PlannedStage(name="test", image="busybox:latest", commands=commands))
    await machine.runtime.start(
        JobSpec(plan=plan, key=machine.key, nats_credential=_credential(nats_server, plan.job_id))
    )


def _credential(nats_server: NatsServer, job_id: str) -> str:
    account = Key((_accounts(nats_server) / accounts.JOBS_SEED).read_text())
    return job_credential(account, kind=Kind.BUILD, job_id=job_id, expires=datetime.now(UTC) + timedelta(hours=1))


def _accounts(nats_server: NatsServer) -> Path:
    assert nats_server.accounts is not None
    return nats_server.accounts


def _until(file: Path) -> str:
    return f"while [ ! -e {file} ]; do sleep 0.02; done"
