import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from estafette_common.jobs.runtimes import JobRefusedError, JobSpec, RuntimeUnavailableError
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_common.jobs.runtimes.protocol import LINE_LIMIT, REQUEST, Remove, Start
from estafette_common.jobs.runtimes.settings import RuntimeSettings, create_runtime
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually

MakeJob = Callable[..., JobSpec]


@pytest.fixture
async def host(folder: Path, nats_server: NatsServer) -> AsyncIterator[LocalRuntime]:
    """A runtime on the real builder host."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")},
        "ESTAFETTE_NATS_URL": nats_server.url,
        "ESTAFETTE_LOCAL_SOCKET": str(folder / "host.sock"),
        "ESTAFETTE_JOBS_DIR": str(folder / "jobs"),
        "ESTAFETTE_STAGE_RUNTIME": "process",
    }
    process = _start_host(environment, folder / "host.log")
    runtime = LocalRuntime(folder / "host.sock")
    try:
        await eventually(lambda: _answers(runtime), within=30)
        yield runtime
        for job in await runtime.jobs():
            await runtime.remove(job.name)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


async def test_a_started_job_is_listed_with_its_name_kind_and_id(host: LocalRuntime, make_job: MakeJob) -> None:
    job = make_job()

    await host.start(job)

    [state] = await host.jobs()
    assert (state.name, state.kind, state.job_id) == (job.name, "build", job.plan.job_id)
    assert state.created_at.tzinfo is not None


async def test_starting_a_job_again_changes_nothing(host: LocalRuntime, make_job: MakeJob) -> None:
    job = make_job()

    for _ in range(3):
        await host.start(job)

    assert [state.name for state in await host.jobs()] == [job.name]


async def test_a_removed_job_is_gone_and_may_be_removed_again(host: LocalRuntime, make_job: MakeJob) -> None:
    job = make_job()
    await host.start(job)

    await host.remove(job.name)
    await host.remove(job.name)

    assert await host.jobs() == []


async def test_the_plan_the_key_and_the_trace_reach_the_host_as_they_are(folder: Path, make_job: MakeJob) -> None:
    job = make_job(env={"GREETING": "grüß\n\u2028 'you'"})
    async with _answering(folder / "host.sock", b"{}\n") as asked:
        await LocalRuntime(folder / "host.sock").start(job)

    request = REQUEST.validate_json(asked[0])
    assert isinstance(request, Start)
    assert (request.plan, request.raw_key(), request.traceparent) == (job.plan, job.key, job.traceparent)


async def test_removing_names_the_job(folder: Path) -> None:
    async with _answering(folder / "host.sock", b"{}\n") as asked:
        await LocalRuntime(folder / "host.sock").remove("build-7")

    assert REQUEST.validate_json(asked[0]) == Remove(name="build-7")


async def test_what_the_host_cannot_read_is_refused(folder: Path, make_job: MakeJob) -> None:
    async with _answering(folder / "host.sock", b'{"error": "not understood"}\n'):
        with pytest.raises(JobRefusedError, match="not understood"):
            await LocalRuntime(folder / "host.sock").start(make_job())


async def test_a_host_that_cannot_list_its_jobs_is_not_one_without_jobs(folder: Path) -> None:
    async with _answering(folder / "host.sock", b'{"error": "list: [Errno 5] Input/output error"}\n'):
        with pytest.raises(RuntimeUnavailableError):
            await LocalRuntime(folder / "host.sock").jobs()


async def test_a_host_whose_disk_is_full_may_take_the_job_later(folder: Path, make_job: MakeJob) -> None:
    async with _answering(folder / "host.sock", b'{"error": "start: [Errno 28] No space left on device"}\n'):
        with pytest.raises(RuntimeUnavailableError):
            await LocalRuntime(folder / "host.sock").start(make_job())


async def test_nobody_at_the_socket_is_an_unavailable_runtime(folder: Path, make_job: MakeJob) -> None:
    runtime = LocalRuntime(folder / "host.sock")

    with pytest.raises(RuntimeUnavailableError):
        await runtime.start(make_job())
    with pytest.raises(RuntimeUnavailableError):
        await runtime.jobs()
    with pytest.raises(RuntimeUnavailableError):
        await runtime.remove("build-7")


@pytest.mark.parametrize("answer", [b"", b'{"jobs": [', b"hello\n", b"x" * (LINE_LIMIT + 1) + b"\n"])
async def test_a_host_that_breaks_off_or_babbles_is_an_unavailable_runtime(folder: Path, answer: bytes) -> None:
    async with _answering(folder / "host.sock", answer):
        with pytest.raises(RuntimeUnavailableError):
            await LocalRuntime(folder / "host.sock").jobs()


def test_the_local_runtime_is_the_default_and_does_not_load_the_kubernetes_client() -> None:
    program = """
import sys
from estafette_common.jobs.runtimes.settings import RuntimeSettings, create_runtime
print(create_runtime(RuntimeSettings()).name, "kubernetes_asyncio" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["local", "False"]


async def test_the_settings_choose_the_socket(folder: Path) -> None:
    runtime = create_runtime(RuntimeSettings(local_socket=folder / "host.sock"))

    async with _answering(folder / "host.sock", b'{"jobs": []}\n') as asked:
        assert await runtime.jobs() == []
    assert len(asked) == 1


@asynccontextmanager
async def _answering(path: Path, answer: bytes) -> AsyncIterator[list[bytes]]:
    """Serve a socket that gives everybody one answer; yields what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path), limit=LINE_LIMIT)
    async with server:
        yield asked


def _start_host(environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        command = [sys.executable, "-P", "-m", "builder", "host"]
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


async def _answers(runtime: LocalRuntime) -> bool:
    await runtime.jobs()
    return True
