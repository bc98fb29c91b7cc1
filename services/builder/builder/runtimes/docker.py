"""Stages as containers of a Docker Engine, through its API."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
from estafette_common.bus.messages.logs import Image

from builder.runtimes import GRACE, Output, StageError, StageRun, script

STREAMS = {1: "stdout", 2: "stderr"}
"""By the number in the frames that the engine sends."""

JOB_LABEL = "estafette.job"


class DockerRuntime:
    """Runs each stage in a container of its own that is gone afterwards."""

    name = "docker"
    note = ""

    def __init__(self, engine: aiodocker.Docker, *, job: str) -> None:
        self._engine = engine
        self._job = job

    async def clean(self) -> None:
        """Remove containers that an earlier attempt of the job left behind."""
        labelled = {"label": [f"{JOB_LABEL}={self._job}"]}
        for container in await self._engine.containers.list(all=True, filters=labelled):
            with suppress(aiodocker.DockerError):
                await container.delete(force=True, v=True)

    async def prepare(self, image: str) -> Image:
        """Pull the image unless the engine has it; see `StageRuntime`."""
        name, tag = split_reference(image)
        began = time.monotonic()
        try:
            found = await self._inspect(image)
            if found is not None:
                return Image(name=name, tag=tag, is_pulled=True, image_size=found["Size"])
            await self._engine.images.pull(image if tag else f"{image}:latest")
            found = await self._inspect(image)
        except (aiodocker.DockerError, aiohttp.ClientError, OSError) as error:
            raise StageError(f"the image {image} cannot be pulled: {_reason(error)}") from error
        pulled = int((time.monotonic() - began) * 1e9)
        return Image(name=name, tag=tag, image_size=found["Size"] if found else 0, pull_duration=pulled)

    async def run(self, stage: StageRun, output: Output) -> int:
        """Run the stage in a container; see `StageRuntime`."""
        folder = Path(tempfile.mkdtemp(prefix="entrypoint-", dir=stage.workspace.parent))
        try:
            return await self._run(_configuration(stage, folder, job=self._job), output)
        except (aiodocker.DockerError, aiohttp.ClientError, OSError) as error:
            raise StageError(f"the container cannot be run: {_reason(error)}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def close(self) -> None:
        """Close the connection to the engine."""
        await self._engine.close()

    async def _run(self, configuration: dict[str, Any], output: Output) -> int:
        container = await self._engine.containers.create(configuration)
        try:
            async with container.attach(stdout=True, stderr=True) as stream:
                await container.start()
                while (frame := await stream.read_out()) is not None:
                    await output(STREAMS.get(frame.stream, "stdout"), frame.data)
            return int((await container.wait())["StatusCode"])
        except asyncio.CancelledError:
            with suppress(aiodocker.DockerError, aiohttp.ClientError):
                await container.stop(t=int(GRACE))
            raise
        finally:
            with suppress(aiodocker.DockerError, aiohttp.ClientError):
                await container.delete(force=True, v=True)

    async def _inspect(self, image: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._engine.images.inspect(image)
        except aiodocker.DockerError as error:
            if error.status == 404:
                return None
            raise
        return found


def _configuration(stage: StageRun, folder: Path, *, job: str) -> dict[str, Any]:
    """Return what the engine is asked to create: the workspace at the stage's directory, the script beside it."""
    binds = [f"{stage.workspace}:{stage.work_dir}"]
    command: dict[str, Any] = {}
    if stage.commands:
        file = folder / "entrypoint.sh"
        file.write_text(script(stage.shell, stage.commands))
        file.chmod(0o755)
        folder.chmod(0o755)
        binds.append(f"{folder}:/entrypoint:ro")
        command = {"Entrypoint": [stage.shell, "/entrypoint/entrypoint.sh"], "Cmd": []}
    return {
        "Image": stage.image,
        "WorkingDir": stage.work_dir,
        "Env": _pairs(stage.environment),
        "Labels": {JOB_LABEL: job},
        "HostConfig": {"Binds": binds},
        **command,
    }


def _pairs(environment: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]


def split_reference(image: str) -> tuple[str, str]:
    """Return name and tag (or digest) of a reference: `registry:5000/a/b:1` is (`registry:5000/a/b`, `1`)."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "")


def _reason(error: Exception) -> str:
    return str(error.message) if isinstance(error, aiodocker.DockerError) else str(error) or repr(error)


async def connect() -> aiodocker.Docker | None:
    """Return a connection to the engine at its usual place (or DOCKER_HOST), or nothing when none answers."""
    try:
        engine = aiodocker.Docker()
    except ValueError:
        return None
    try:
        async with asyncio.timeout(5):
            await engine.version()
    except (aiodocker.DockerError, aiohttp.ClientError, OSError, TimeoutError):
        await engine.close()
        return None
    return engine
