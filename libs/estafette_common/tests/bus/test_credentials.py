"""A job's credential tried against a real server: what it may, and everything that it may not."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
from estafette_common.bus import accounts
from estafette_common.bus.connection import connect
from estafette_common.bus.credentials import ACCOUNT, Key, inbox, job_credential
from estafette_common.bus.messages.jobs import JobCancel, JobHeartbeat
from estafette_common.bus.messages.logs import End, Entry, LogChunk
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.subjects import STREAMS
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from nats.aio.client import Client, RawCredentials
from nats.js import JetStreamContext

OTHER = "job.build.2"
AUTHORIZATION = r"(?i)authorization"
NEVER = 0.2
"""Seconds to wait for an answer that must not come; one that may comes within a few milliseconds."""


class Job:
    """A connection with a job's credential, and what the server refused it."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    async def connect(self, url: str, credential: str, *, own_inbox: str) -> None:
        async def note(error: Exception) -> None:
            self.refused.append(str(error).lower())

        self.client: Client = await nats.connect(
            url,
            user_credentials=RawCredentials(credential),
            inbox_prefix=own_inbox.encode(),
            error_cb=note,
            allow_reconnect=False,
        )

    async def is_refused(self, verb: str, subject: str) -> bool:
        """Return whether the server says, soon, that it does not let the job do it."""
        violation = f'permissions violation for {verb} to "{subject.lower()}"'
        return await eventually(lambda: any(violation in text for text in self.refused), within=5)


def mint(server: NatsServer, job_id: str = "1", *, lives: timedelta = timedelta(hours=1)) -> str:
    account = Key((_folder(server) / accounts.JOBS_SEED).read_text())
    return job_credential(account, kind=Kind.BUILD, job_id=job_id, expires=datetime.now(UTC) + lives)


@pytest.fixture
async def jetstream(guarded_nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    """JetStream as the services see it."""
    credentials = _folder(guarded_nats_server) / accounts.SERVICES_CREDENTIAL
    client = await connect(guarded_nats_server.url, name="services", credentials=credentials)
    await declare(client.jetstream(), [])
    yield client.jetstream()
    await client.close()


MakeJob = Callable[..., Awaitable[Job]]


@pytest.fixture
async def make_job(guarded_nats_server: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[MakeJob]:
    made: list[Job] = []

    async def make(job_id: str = "1", *, own_inbox: str = "") -> Job:
        job = Job()
        credential = mint(guarded_nats_server, job_id)
        await job.connect(guarded_nats_server.url, credential, own_inbox=own_inbox or inbox(Kind.BUILD, job_id))
        made.append(job)
        return job

    yield make
    for job in made:
        await job.client.close()


@pytest.fixture
async def job(make_job: MakeJob) -> Job:
    return await make_job()


# --- what it may ---


async def test_a_job_tells_its_status_and_its_log(job: Job, jetstream: JetStreamContext) -> None:
    publisher = JetStreamPublisher(job.client, source="builder")
    await publisher.start()

    await publisher.publish(_heartbeat("1"), id="first")
    await publisher.publish(_chunk("1"), id="second")

    assert (await jetstream.get_last_msg("JOBS", "job.build.1.heartbeat")).seq == 1
    assert (await jetstream.get_last_msg("LOGS", "log.build.1")).seq == 1
    assert job.refused == []


async def test_a_job_hears_that_it_is_canceled(job: Job, jetstream: JetStreamContext) -> None:
    heard: list[bytes] = []
    await _subscribe(job.client, "job.build.1.cancel", heard)
    cancel = JobCancel(kind=Kind.BUILD, job_id="1", reason="enough")

    await jetstream.publish(cancel.subject, cancel.encode())

    assert await eventually(lambda: heard) == [cancel.encode()]


async def test_a_job_may_be_named_by_whatever_names_a_job(make_job: MakeJob) -> None:
    job = await make_job("a.b >*")

    await job.client.request("log.build.a%2Eb%20%3E%2A", b"", timeout=2)

    assert job.refused == []


# --- what it may not ---


@pytest.mark.parametrize(
    "subject",
    [
        "log.build.2",
        "log.release.1",
        "log.build.1.x",
        f"{OTHER}.started",
        f"{OTHER}.stage",
        f"{OTHER}.heartbeat",
        f"{OTHER}.finished",
        f"{OTHER}.cancel",
        "job.release.1.finished",
        "job.build.1.requested",
        "job.build.1.dispatched",
        "job.build.1.cancel",
        "event.git.push",
        "command.build.2.lose",
        "dead.job",
        "$JS.API.INFO",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.INFO.LOGS",
        "$JS.API.STREAM.CREATE.MINE",
        "$JS.API.STREAM.PURGE.LOGS",
        "$JS.API.STREAM.DELETE.LOGS",
        "$JS.API.STREAM.MSG.GET.LOGS",
        "$JS.API.STREAM.MSG.DELETE.LOGS",
        "$JS.API.DIRECT.GET.LOGS",
        "$JS.API.CONSUMER.LIST.LOGS",
        "$JS.API.CONSUMER.CREATE.LOGS",
        "$JS.API.CONSUMER.DURABLE.CREATE.LOGS.mine",
        "$JS.API.CONSUMER.MSG.NEXT.JOBS.planner",
        "$JS.ACK.JOBS.planner.1.1.1.1.0",
        "$SYS.REQ.SERVER.PING",
        "_INBOX_JOB.build.2.any",
        "_INBOX.any",
    ],
)
async def test_a_job_cannot_publish_elsewhere(job: Job, jetstream: JetStreamContext, subject: str) -> None:
    stored = await _all_stored(jetstream)

    await job.client.publish(subject, b"{}", reply=job.client.new_inbox())

    assert await job.is_refused("publish", subject)
    assert await _all_stored(jetstream) == stored


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "*.>",
        "log.>",
        "log.build.1",
        "log.build.2",
        "job.>",
        "job.*.*.cancel",
        f"{OTHER}.cancel",
        "job.build.1.>",
        "_INBOX.>",
        "_INBOX_JOB.>",
        "_INBOX_JOB.build.>",
        "_INBOX_JOB.build.2.>",
        "_R_.>",
        "$JS.>",
        "$SYS.>",
    ],
)
async def test_a_job_cannot_listen_elsewhere(job: Job, jetstream: JetStreamContext, subject: str) -> None:
    heard: list[bytes] = []
    await _subscribe(job.client, subject, heard)

    await jetstream.publish("log.build.2", b"secret of another job")
    await jetstream.publish(f"{OTHER}.cancel", b"{}")

    assert await job.is_refused("subscription", subject)
    assert heard == []


async def test_a_job_sees_no_stream(job: Job) -> None:
    streams = job.client.jetstream(timeout=NEVER)

    for look in (
        streams.streams_info,
        streams.account_info,
        lambda: streams.get_msg("LOGS", 1),
        lambda: streams.consumers_info("JOBS"),
        lambda: streams.pull_subscribe("log.build.2", stream="LOGS"),
        lambda: streams.subscribe("log.build.2", stream="LOGS"),
        lambda: streams.add_stream(name="MINE", subjects=["mine"]),
    ):
        with pytest.raises((TimeoutError, nats.errors.Error)):
            await look()


async def test_another_inbox_brings_a_job_no_answer(make_job: MakeJob) -> None:
    job = await make_job("1", own_inbox=inbox(Kind.BUILD, "2"))

    with pytest.raises((TimeoutError, nats.errors.Error)):
        await job.client.request("log.build.1", b"", timeout=NEVER)

    assert any("permissions violation for subscription" in text for text in job.refused)


@pytest.mark.parametrize(
    "reply",
    [
        *(f"$JS.API.STREAM.{verb}.{name}" for verb in ("PURGE", "DELETE") for name in ("LOGS", "JOBS")),
        "$JS.API.STREAM.CREATE.MINE",
        "log.build.2",
        f"{OTHER}.finished",
        "job.build.2.requested",
        "command.build.2.lose",
        "event.git.push",
    ],
)
async def test_the_answer_to_a_job_cannot_be_sent_into_a_stream(
    job: Job, jetstream: JetStreamContext, reply: str
) -> None:
    await jetstream.publish("log.build.2", b"kept")
    await jetstream.publish("job.build.2.started", b"kept")
    before = await _all_stored(jetstream)

    await job.client.publish("log.build.1", b"told", reply=reply)
    await job.client.request("log.build.1", b"told after it", timeout=2)

    after = await _all_stored(jetstream)
    assert after == before | {"LOGS": before["LOGS"] + 2}


async def test_the_answer_to_a_job_cancels_no_other(make_job: MakeJob, job: Job, jetstream: JetStreamContext) -> None:
    heard: list[bytes] = []
    await _subscribe((await make_job("2")).client, f"{OTHER}.cancel", heard)

    await job.client.publish("log.build.1", b"told", reply=f"{OTHER}.cancel")
    await job.client.publish("job.build.1.started", b"{}", reply=f"{OTHER}.cancel")
    await job.client.request("log.build.1", b"told after it", timeout=2)
    cancel = JobCancel(kind=Kind.BUILD, job_id="2", reason="enough")
    await jetstream.publish(cancel.subject, cancel.encode())

    await eventually(lambda: cancel.encode() in heard)
    heard.remove(cancel.encode())
    for answer in heard:  # each stream answers in its own time, before the cancel or after it
        with pytest.raises(ValueError, match="validation error"):
            JobCancel.decode(answer, {})


async def test_a_job_cannot_make_a_stream_drop_what_another_tells(
    make_job: MakeJob, jetstream: JetStreamContext
) -> None:
    job, other = await make_job("1"), await make_job("2")
    publisher = JetStreamPublisher(other.client, source="builder", id_key=bytes(32))
    await publisher.start()
    for guessed in ("finished", _chunk("2").id):
        await job.client.request("job.build.1.stage", b"", timeout=2, headers={"Nats-Msg-Id": guessed})
        await job.client.request("log.build.1", b"", timeout=2, headers={"Nats-Msg-Id": guessed})

    for _ in range(2):  # the second time it is a repeat
        await publisher.publish(_heartbeat("2"), id="finished")
        await publisher.publish(_chunk("2"), id=_chunk("2").id)

    assert await _stored(jetstream, "JOBS", "job.build.2.heartbeat") == 1
    assert await _stored(jetstream, "LOGS", "log.build.2") == 1


async def test_a_job_cannot_make_a_stream_drop_what_a_service_tells(
    guarded_nats_server: NatsServer, job: Job, jetstream: JetStreamContext
) -> None:
    credentials = _folder(guarded_nats_server) / accounts.SERVICES_CREDENTIAL
    client = await connect(guarded_nats_server.url, name="planner", credentials=credentials)
    publisher = JetStreamPublisher(client, source="manifest-planner")
    await publisher.start()
    await job.client.request("job.build.1.stage", b"", timeout=2, headers={"Nats-Msg-Id": "guessed"})
    cancel = JobCancel(kind=Kind.BUILD, job_id="2", reason="enough")

    await publisher.publish(cancel, id="guessed")
    for _ in range(2):  # the second time it is a repeat
        await publisher.publish(_heartbeat("2"), id="other")

    assert await _stored(jetstream, "JOBS", cancel.subject) == 1
    assert await _stored(jetstream, "JOBS", "job.build.2.heartbeat") == 1
    await client.close()


# --- who gets in ---


async def test_nobody_gets_in_without_a_credential(guarded_nats_server: NatsServer) -> None:
    with pytest.raises(nats.errors.Error, match=AUTHORIZATION):
        await nats.connect(guarded_nats_server.url, allow_reconnect=False)


async def test_an_expired_credential_is_refused(guarded_nats_server: NatsServer) -> None:
    with pytest.raises(nats.errors.Error, match=AUTHORIZATION):
        await Job().connect(
            guarded_nats_server.url, mint(guarded_nats_server, lives=timedelta(seconds=-2)), own_inbox="any"
        )


async def test_a_connection_ends_with_its_credential(guarded_nats_server: NatsServer) -> None:
    job = Job()
    await job.connect(guarded_nats_server.url, mint(guarded_nats_server, lives=timedelta(seconds=2)), own_inbox="any")
    assert job.client.is_connected

    await eventually(lambda: job.client.is_closed)

    assert any("expired" in text for text in job.refused) or "expired" in str(job.client.last_error).lower()


@pytest.mark.parametrize("widened", [{}, {"pub": {"allow": [">"]}, "sub": {"allow": [">"]}}])
async def test_a_credential_that_its_owner_changed_is_refused(
    guarded_nats_server: NatsServer, widened: dict[str, Any]
) -> None:
    lines = mint(guarded_nats_server).splitlines()
    head, body, signature = lines[1].split(".")
    claims = json.loads(base64.urlsafe_b64decode(f"{body}=="))
    claims["exp"] += 1
    claims["nats"] |= widened
    lines[1] = f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"

    with pytest.raises(nats.errors.Error, match=AUTHORIZATION):
        await Job().connect(guarded_nats_server.url, "\n".join(lines), own_inbox="any")


async def test_a_credential_of_another_account_is_refused(guarded_nats_server: NatsServer) -> None:
    expires = datetime.now(UTC) + timedelta(hours=1)
    forged = job_credential(Key.new(ACCOUNT), kind=Kind.BUILD, job_id="1", expires=expires)

    with pytest.raises(nats.errors.Error, match=AUTHORIZATION):
        await Job().connect(guarded_nats_server.url, forged, own_inbox="any")


def test_accounts_are_made_once_and_their_secrets_are_their_owners(tmp_path: Path) -> None:
    accounts.make(tmp_path)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}

    accounts.make(tmp_path)

    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == made
    assert {name: (tmp_path / name).stat().st_mode & 0o777 for name in made} == {
        accounts.CONFIGURATION: 0o644,
        accounts.SERVICES_CREDENTIAL: 0o600,
        accounts.JOBS_SEED: 0o600,
    }


def test_what_is_no_seed_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match=r"^not the seed of a NATS key$"):
        Key("SAANOTASEED")


def _folder(server: NatsServer) -> Path:
    assert server.accounts is not None
    return server.accounts


def _heartbeat(job_id: str) -> JobHeartbeat:
    return JobHeartbeat(kind=Kind.BUILD, job_id=job_id, attempt=1, time=datetime.now(UTC))


def _chunk(job_id: str) -> LogChunk:
    entries: list[Entry] = [End(outcome=Outcome.SUCCEEDED)]
    return LogChunk(kind=Kind.BUILD, job_id=job_id, attempt=1, number=1, first=1, entries=entries)


async def _all_stored(jetstream: JetStreamContext) -> dict[str, int]:
    """Return how many messages each stream holds; a stream more or less is one, too."""
    streams = {each.config.name or "": each.state.messages for each in await jetstream.streams_info()}
    assert set(streams) == {stream.name for stream in STREAMS.values()}
    return streams


async def _stored(jetstream: JetStreamContext, stream: str, subject: str) -> int:
    """Return how many messages of a subject a stream holds."""
    state = (await jetstream.stream_info(stream, subjects_filter=subject)).state
    return (state.subjects or {}).get(subject, 0)


async def _subscribe(client: Client, subject: str, heard: list[bytes]) -> None:
    async def hear(message: Any) -> None:
        heard.append(message.data)

    await client.subscribe(subject, cb=hear)
    await client.flush()
