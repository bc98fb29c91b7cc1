"""Jobs as processes of this machine, started by the builder host that listens on a unix socket."""

import asyncio
import base64
from pathlib import Path

from pydantic import BaseModel

from estafette_common.jobs.runtimes import JobRefusedError, JobSpec, JobState, Observer, RuntimeUnavailableError
from estafette_common.jobs.runtimes.protocol import LINE_LIMIT, NOT_UNDERSTOOD, List, Remove, Reply, Start

ANSWERS_WITHIN = 30.0
"""Seconds; removing a job waits for its stages to end."""


class LocalRuntime:
    """Asks the builder host. See `JobRuntime` for what each call promises."""

    name = "local"
    outlives_builders = False

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def start(self, job: JobSpec) -> str:
        """Start a builder for the job unless the host knows one of its name."""
        if job.plan.run_namespace is not None:
            raise JobRefusedError("the manifest asks for a runNamespace, and jobs do not run in Kubernetes here")
        key = base64.b64encode(job.key).decode()
        request = Start(plan=job.plan, key=key, nats_credential=job.nats_credential, traceparent=job.traceparent)
        reply = await self._ask(request)
        if reply.error == NOT_UNDERSTOOD:
            raise JobRefusedError(f"the builder host cannot read it: {reply.error}")
        _expect_done(reply)
        return job.plan.job_name

    async def jobs(self) -> list[JobState]:
        """Return every job of the host, running or ended."""
        reply = await self._ask(List())
        _expect_done(reply)
        return [JobState(**job.model_dump()) for job in reply.jobs]

    async def find(self, kind: str, job_id: str) -> list[JobState]:
        """Return the job if the host knows it."""
        return [job for job in await self.jobs() if (job.kind, job.job_id) == (kind, job_id)]

    async def remove(self, name: str) -> None:
        """Stop the job if it runs and forget it."""
        _expect_done(await self._ask(Remove(name=name)))

    async def watch(self, observer: Observer) -> None:
        """Return: the host starts builders again by itself."""

    async def close(self) -> None:
        """Nothing is held."""

    async def _ask(self, request: BaseModel) -> Reply:
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=LINE_LIMIT)
                try:
                    writer.write(request.model_dump_json().encode() + b"\n")
                    await writer.drain()
                    return Reply.model_validate_json(await reader.readline())
                finally:
                    writer.close()
        except (OSError, ValueError, TimeoutError) as error:
            raise RuntimeUnavailableError(f"the builder host at {self._socket} does not answer: {error!r}") from error


def _expect_done(reply: Reply) -> None:
    """Raise unless it was done. What hinders the host, a full disk for one, may pass."""
    if reply.error:
        raise RuntimeUnavailableError(f"the builder host could not do it: {reply.error}")
