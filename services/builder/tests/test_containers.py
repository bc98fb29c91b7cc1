import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiodocker
import pytest
from aiohttp import web
from builder.runtimes import docker
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_common.manifest import secrets
from estafette_local.waiting import eventually

IMAGE = "busybox:latest"


async def containers(engine: aiodocker.Docker, machine: Any) -> list[Any]:
    """Return the containers that have a folder of the machine."""
    found = await engine.containers.list(all=True, filters={"label": [docker.JOB_LABEL]})
    return [each for each in found if any(str(machine.root) in mount["Source"] for mount in each["Mounts"])]


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(**{"name": name, "image": IMAGE, "commands": commands} | fields)


async def test_a_container_is_gone_when_its_stage_ended(docker_machine: Any, engine: aiodocker.Docker) -> None:
    await docker_machine.start(stage("test", "echo hello", "exit 3"))

    assert (await docker_machine.finished()).outcome is Outcome.FAILED
    assert await containers(engine, docker_machine) == []
    assert [path.name for path in docker_machine.root.rglob("entrypoint*")] == []


@pytest.mark.usefixtures("engine")
async def test_auto_takes_containers_where_an_engine_answers(idle_machine: Any) -> None:
    await idle_machine.start_host(stage_runtime="auto")
    await idle_machine.start(stage("test", "pwd"))
    await idle_machine.finished()

    assert "stage runtime docker" in (await idle_machine.printed("builder-info"))[0]
    assert await idle_machine.printed("test") == ["/estafette-work"]


async def test_auto_takes_processes_where_no_engine_answers(idle_machine: Any) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{idle_machine.root}/no-engine.sock"}
    await idle_machine.start_host(variables=nowhere, stage_runtime="auto")
    await idle_machine.start(stage("test", "true"))
    await idle_machine.finished()

    assert "stage runtime process" in (await idle_machine.printed("builder-info"))[0]


async def test_the_workspace_is_at_the_stages_work_directory(docker_machine: Any) -> None:
    await docker_machine.start(stage("test", "pwd; cat README", work_dir="/go/src/shop"))
    await docker_machine.finished()

    assert await docker_machine.printed("test") == ["/go/src/shop", "shop"]


async def test_a_stage_without_commands_runs_what_its_image_runs(docker_machine: Any) -> None:
    await docker_machine.start(stage("test"))

    assert (await docker_machine.finished()).outcome is Outcome.SUCCEEDED


async def test_a_container_has_the_stages_variables_and_none_of_the_builder(docker_machine: Any) -> None:
    await docker_machine.start(stage("test", "env", env={"GREETING": "a ${b} 'c' \"d\"\\"}))
    await docker_machine.finished()

    variables = dict(line.split("=", 1) for line in await docker_machine.printed("test") if "=" in line)
    assert variables["GREETING"] == "a ${b} 'c' \"d\"\\"
    assert variables["ESTAFETTE_STAGE_NAME"] == "test"
    assert not {"ESTAFETTE_NATS_URL", "ESTAFETTE_JOBS_DIR", "ESTAFETTE_STAGE_RUNTIME"} & set(variables)


async def test_a_secret_is_not_in_the_arguments_of_any_process(docker_machine: Any) -> None:
    go = docker_machine.job_folder / "workspace/go"
    sealed = secrets.encrypt("hunter2-hunter2", key=docker_machine.key)
    waiting = stage("wait", "echo began", "until [ -e go ]; do sleep 0.05; done", env={"TOKEN": sealed})
    await docker_machine.start(waiting)
    await eventually(lambda: docker_machine.says("wait", "began"))
    listed = await asyncio.to_thread(subprocess.check_output, ["ps", "axww", "-o", "args"])
    go.touch()
    await docker_machine.finished()

    assert b"hunter2" not in listed


async def test_stdout_and_stderr_are_told_apart(docker_machine: Any) -> None:
    await docker_machine.start(stage("test", "for n in 1 2 3; do echo out $n; echo err $n >&2; done"))
    await docker_machine.finished()

    assert await docker_machine.printed("test", stream="stdout") == ["out 1", "out 2", "out 3"]
    assert await docker_machine.printed("test", stream="stderr") == ["err 1", "err 2", "err 3"]


async def test_frames_of_any_size_make_the_lines_that_were_printed(docker_machine: Any) -> None:
    commands = (
        "printf a; sleep 0.2; echo b",
        "seq 1 5000",
        "head -c 200000 /dev/zero | tr '\\0' x; echo",
        "printf end",
    )
    await docker_machine.start(stage("test", *commands))
    await docker_machine.finished()

    assert await docker_machine.printed("test") == ["ab", *map(str, range(1, 5001)), "x" * 200_000, "end"]


async def test_a_shell_that_the_image_lacks_is_told(docker_machine: Any) -> None:
    await docker_machine.start(stage("test", "true", shell="/bin/bash"))

    assert (await docker_machine.finished()).outcome is Outcome.FAILED
    assert "/bin/bash" in (await docker_machine.printed("test", stream="stderr"))[0]


async def test_the_image_of_a_stage_is_described(docker_machine: Any) -> None:
    await docker_machine.start(stage("test", "true"))
    await docker_machine.finished()

    image = (await docker_machine.last_change("test")).image
    assert (image.name, image.tag, image.is_pulled) == ("busybox", "latest", True)
    assert image.image_size > 0


async def test_an_image_without_a_tag_is_described_as_the_latest(docker_machine: Any) -> None:
    await docker_machine.start(stage("test", "true", image="busybox"))
    await docker_machine.finished()

    assert (await docker_machine.last_change("test")).image.tag == "latest"


async def test_containers_of_a_dead_builder_are_gone_before_the_next_attempt(
    docker_machine: Any, engine: aiodocker.Docker
) -> None:
    go = docker_machine.job_folder / "workspace/go"
    await docker_machine.start(stage("wait", "echo began", "until [ -e go ]; do sleep 0.05; done"))
    await eventually(lambda: docker_machine.says("wait", "began"))
    [first] = await containers(engine, docker_machine)

    os.kill(docker_machine.pid(), signal.SIGKILL)
    await eventually(lambda: docker_machine.says("wait", "began", attempt=2))

    assert first.id not in [each.id for each in await containers(engine, docker_machine)]
    go.touch()
    assert (await docker_machine.finished()).attempt == 2


async def test_a_job_that_is_removed_leaves_no_container(docker_machine: Any, engine: aiodocker.Docker) -> None:
    await docker_machine.start(stage("wait", "echo began", "sleep 600"))
    await eventually(lambda: docker_machine.says("wait", "began"))

    await docker_machine.runtime.remove(docker_machine.job_folder.name)

    await eventually(lambda: _none(engine, docker_machine))


async def _none(engine: aiodocker.Docker, machine: Any) -> bool:
    return await containers(engine, machine) == []


async def test_a_stage_that_is_asked_to_stop_does_so_at_once(docker_machine: Any) -> None:
    await docker_machine.start(stage("wait", "echo began", "sleep 600"))
    await eventually(lambda: docker_machine.says("wait", "began"))

    began = time.monotonic()
    await docker_machine.runtime.remove(docker_machine.job_folder.name)

    assert time.monotonic() - began < 5


async def test_a_builder_that_is_given_up_leaves_no_container(idle_machine: Any, engine: aiodocker.Docker) -> None:
    await idle_machine.start_host(stage_runtime="docker", attempts="1")
    await idle_machine.start(stage("wait", "echo began", "sleep 600"))
    await eventually(lambda: idle_machine.says("wait", "began"))
    os.kill(idle_machine.pid(), signal.SIGKILL)
    await eventually((idle_machine.job_folder / "done").exists)

    try:
        await eventually(lambda: _none(engine, idle_machine), within=3)
    finally:
        for container in await containers(engine, idle_machine):
            await container.delete(force=True)


async def test_a_container_made_while_cloning_goes_when_the_clone_fails(
    docker_machine: Any, engine: aiodocker.Docker
) -> None:
    tell = stage("tell", "echo $ESTAFETTE_BUILD_STATUS", when="status == 'succeeded' || status == 'failed'")
    await docker_machine.start(tell, clone_url="file:///nowhere")

    assert (await docker_machine.finished()).outcome is Outcome.FAILED
    assert await docker_machine.printed("tell") == ["failed"]
    assert await containers(engine, docker_machine) == []


@asynccontextmanager
async def broken_registry() -> AsyncIterator[str]:
    """A registry with the manifest of an image but not its layers; gives its host and port."""

    async def answer(request: web.Request) -> web.Response:
        if "/blobs/" in request.path:
            return web.json_response({"errors": [{"code": "DENIED", "message": "layers are locked"}]}, status=403)
        if "/manifests/" not in request.path:
            return web.json_response({})
        digest = "sha256:" + "1" * 64
        part = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 9, "digest": digest}
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 9, "digest": digest}
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        return web.json_response(
            {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [part]}, content_type=kind
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_pull_that_breaks_off_fails_its_stage_with_the_reason(docker_machine: Any) -> None:
    async with broken_registry() as registry:
        await docker_machine.start(stage("test", "true", image=f"{registry}/shop:1"))

        assert (await docker_machine.finished()).outcome is Outcome.FAILED
        reason = (await docker_machine.printed("test", stream="stderr"))[0]
        assert "cannot be pulled" in reason
