"""Builds, releases and bots with which something is wrong, or nothing, and the cleaner that looks at them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from estafette_common.bus.messages.commands import Cancel, Lose
from estafette_common.bus.messages.events import Cleaned
from estafette_common.bus.messages.jobs import JobFinished, JobRequested
from estafette_common.bus.subjects import fill
from estafette_common.bus.topology import Consumer, declare
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_local.servers import free_port
from hanging_job_cleaner.requests import BEFORE_A_JOB, ENDS
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

FOUND_WITHIN = 60.0
"""Seconds after which every inconsistency must have been found, with the settings that the cleaner has by itself."""

OWN: dict[Kind, tuple[str, str]] = {
    Kind.BUILD: (
        "branch, revision, counter, version, labels, manifest, commits",
        "'main', 'c', (SELECT count(*) FROM builds), '1.0.0', '[]', '', '[]'",
    ),
    Kind.RELEASE: ("target, action, version, build_id, hops", "'production', '', '1.0.0', '1', 0"),
    Kind.BOT: ("bot, build_id, hops", "'tidy', '1', 0"),
}
"""What each table has beside what all have, and a value for it."""

INSERT = """
    INSERT INTO {table} (id, source, owner, name, status, trigger_events, {signs}, {own})
    VALUES ($1, 'github.com', 'acme', 'shop', $2, '[]', {ages}, {values})
"""


class Planting:
    """The database and the bus that the cleaner looks at. Ages are seconds."""

    def __init__(self, database: asyncpg.Connection, jetstream: JetStreamContext) -> None:
        self._database = database
        self.jetstream = jetstream

    async def prepare(self) -> None:
        """Let there be what the planner and the dispatcher take messages by."""
        consumers = {**{durable: message for message, durable in BEFORE_A_JOB}, **{v: k for k, v in ENDS.items()}}
        await declare(self.jetstream, [Consumer(durable=name, message=each) for name, each in consumers.items()])

    async def row(self, kind: Kind, status: str, **ages: float) -> str:
        """Insert a build, release or bot, of which signs are so old; returns its id."""
        job_id = str(uuid4().int >> 65)
        names, values = OWN[kind]
        ages = {"inserted": 9_000.0} | ages
        statement = INSERT.format(
            table=f"{kind}s",
            signs=", ".join(f"{sign}_at" for sign in ages),
            ages=", ".join(f"now() - {age} * interval '1 second'" for age in ages.values()),
            own=names,
            values=values,
        )
        await self._database.execute(statement, job_id, status)
        return job_id

    async def rows(self) -> list[Any]:
        """Return everything that the tables hold."""
        return [dict(row) for kind in OWN for row in await self._database.fetch(f"SELECT * FROM {kind}s ORDER BY id")]

    async def request(self, plan: Plan) -> None:
        """Have a job requested, and the request handled."""
        request = JobRequested(kind=plan.kind, job_id=plan.job_id, plan=plan, sealed_key="")
        await self.jetstream.publish(request.subject, request.encode())
        await self._handle("dispatcher-job-requested")

    async def finish(self, kind: Kind, job_id: str, *, handled: bool) -> None:
        """Have the end of a job told, and heard by the planner, or not yet."""
        last = await self._database.fetchval("SELECT now()")
        finished = JobFinished(kind=kind, job_id=job_id, attempt=1, outcome=Outcome.SUCCEEDED, time=last)
        await self.jetstream.publish(finished.subject, finished.encode())
        if handled:
            await self._handle("planner-job-finished")

    async def forget_end(self, kind: Kind, job_id: str) -> None:
        """Have a job end without a word."""
        await self.jetstream.purge_stream("JOBS", subject=fill(JobFinished.SUBJECT, kind=kind, job_id=job_id))

    async def events(self) -> list[Cleaned]:
        """Return what the cleaner told, in order."""
        return [
            Cleaned.decode(body, {})
            for subject, body, _ in await self.stream("EVENTS")
            if subject.startswith("event.cleaning.")
        ]

    async def commands(self) -> list[Lose | Cancel]:
        """Return what the cleaner asked for, in order."""
        return [
            (Lose if subject.endswith(".lose") else Cancel).decode(body, {})
            for subject, body, _ in await self.stream("COMMANDS")
        ]

    async def stream(self, name: str) -> list[tuple[str, bytes, dict[str, str]]]:
        """Return the subject, the body and the headers of each message that a stream holds."""
        state = (await self.jetstream.stream_info(name)).state
        found = []
        for number in range(state.first_seq, state.last_seq + 1) if state.messages else ():
            with suppress(NotFoundError):  # purged
                message = await self.jetstream.get_msg(name, number)
                found.append((message.subject or "", message.data or b"", message.headers or {}))
        return found

    async def _handle(self, durable: str) -> None:
        """Have everything handled that waits for a consumer: builders that really ran told something, too."""
        waiting = (await self.jetstream.consumer_info("JOBS", durable)).num_pending or 0
        reader = await self.jetstream.pull_subscribe_bind(durable, "JOBS")
        for _ in range(waiting):
            [message] = await reader.fetch(1)
            await message.ack_sync()


def plan(kind: Kind, job_id: str, *commands: str, revision: str = "c" * 40, clone_url: str = "file:///no") -> Plan:
    """Return the plan of a job of one stage."""
    return Plan(
        kind=kind,
        job_id=job_id,
        repository=Repository(source="github.com", owner="acme", name="shop"),
        branch="main",
        revision=revision,
        clone_url=clone_url,
        version=Version(version="1.0.7", counter=7),
        stages=(PlannedStage(name="only", image="busybox:latest", commands=commands),),
        timeout=1000.0,
    )


@contextmanager
def cleaner(log: Path, **settings: str) -> Iterator[None]:
    """Run the cleaner, told nothing but where everything is."""
    told = environment(PORT=str(free_port()), **settings)
    with log.open("ab") as output:
        command = [sys.executable, "-P", "-m", "hanging_job_cleaner"]
        process = subprocess.Popen(command, env=told, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a service with these settings alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
    return inherited | {f"ESTAFETTE_{name}": value for name, value in settings.items()}
