"""Requested jobs to runtimes: what a job is given, made from its request."""

from datetime import UTC, datetime

from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.jobs.runtimes import JobRuntime, JobSpec
from estafette_common.manifest.secrets import Keys, unseal_key
from estafette_common.telemetry import traceparent

from job_dispatcher.losing import given
from job_dispatcher.minting import Mint
from job_dispatcher.registries import logins


class Starter:
    """Starts attempts of jobs."""

    def __init__(self, runtime: JobRuntime, *, secret_key: Keys, mint: Mint) -> None:
        self._runtime = runtime
        self._secret_key = secret_key
        self._mint = mint

    async def start(self, request: JobRequested, *, attempt: int = 1, begun_before: int = 0) -> str:
        """Start an attempt unless it is there; returns its name in the runtime.

        `begun_before` is the sequence of the last `started` of the job. Raises RuntimeUnavailableError,
        JobRefusedError or SecretError.
        """
        key = unseal_key(request.sealed_key, secret_key=self._secret_key, job_id=request.job_id)
        job = JobSpec(
            plan=request.plan,
            key=key,
            nats_credential=self._mint.credential(request.plan, now=datetime.now(UTC)),
            registry_logins=logins(request.plan, key=key),
            traceparent=traceparent(),
            measured=given(request.measured, attempt=attempt),
            attempt=attempt,
            begun_before=begun_before,
        )
        return await self._runtime.start(job)
