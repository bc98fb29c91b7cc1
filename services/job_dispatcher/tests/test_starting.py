"""What a job is given, made from its request; the runtime only writes it down."""

import os
from pathlib import Path

import pytest
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.runtimes import JobSpec
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_common.jobs.usage import Usage
from estafette_common.manifest.secrets import seal_key
from estafette_local import plans
from job_dispatcher.minting import Mint
from job_dispatcher.starting import Starter

SECRET_KEY = os.urandom(32)
TAKEN = Usage(memory=100, cpu=0.5)


class Notebook(LocalRuntime):
    """A runtime that starts nothing."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.jobs_given: list[JobSpec] = []

    async def start(self, job: JobSpec) -> str:
        self.jobs_given.append(job)
        return job.name


def request(measured: Usage | None) -> JobRequested:
    sealed = seal_key(os.urandom(32), secret_key=SECRET_KEY, job_id="7")
    return JobRequested(kind=Kind.BUILD, job_id="7", plan=plans.plan(), sealed_key=sealed, measured=measured)


@pytest.mark.parametrize(
    ("measured", "attempt", "given"),
    [(None, 1, None), (None, 2, None), (TAKEN, 1, TAKEN), (TAKEN, 2, Usage(memory=100, cpu=0.5, out_of_memory=True))],
)
async def test_a_job_goes_by_what_jobs_like_it_took_and_a_later_attempt_may_take_all_memory(
    measured: Usage | None, attempt: int, given: Usage | None
) -> None:
    runtime = Notebook()
    starter = Starter(runtime, secret_key=SECRET_KEY, mint=Mint(None))

    await starter.start(request(measured), attempt=attempt)

    assert [each.measured for each in runtime.jobs_given] == [given]
