"""Stages as containers of a Docker Engine, through its API."""

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer
from aiodocker.stream import Stream
from estafette_common.bus.messages.logs import Image
from yarl import URL

from builder.entrypoint import script
from builder.runtimes import GRACE, Output, StageError, StageRun, split_reference

STREAMS = {1: "stdout", 2: "stderr"}
"""By the number in the frames that the engine sends."""

JOB_LABEL = "estafette.job"

ANSWERS_WITHIN = 5.0
"""Seconds an engine has to say that it is there."""

GONE_WITHIN = 30.0
"""Seconds the engine has to remove containers at the end of a job."""

_IN_CONTAINER = Path("/.dockerenv").exists()
"""An engine puts that file into its containers."""

FAILURES = (aiodocker.DockerError, aiohttp.ClientError, OSError)
"""What calling the engine raises."""


class DockerRuntime:
    """Runs each stage in a container of its own that is gone once the job is over."""

    name = "docker"
    note = ""

    def __init__(
        self, engine: aiodocker.Docker, *, job: str, networked: bool = False, scripts: Path | None = None
    ) -> None:
        self._engine = engine
        self._job = job
        self._scripts = scripts
        """Where programs of stages are put; beside the workspace unless that is somebody's own folder."""
        self._networked = networked
        """Whether containers of the job reach each other by name."""
        self._network: asyncio.Future[str] | None = None
        self._removals: set[asyncio.Task[None]] = set()

    async def clean(self) -> None:
        """Remove containers and networks that an earlier attempt of the job left behind."""
        labelled = {"label": [f"{JOB_LABEL}={self._job}"]}
        for container in await self._engine.containers.list(all=True, filters=labelled):
            with suppress(aiodocker.DockerError):
                await container.delete(force=True, v=True)
        for network in await self._engine.networks.list(filters=labelled):
            await self._remove_network(network["Id"])

    async def prepare(self, stage: StageRun) -> "DockerStage":
        """Pull the image unless the engine has it, create the container and listen to it; see `StageRuntime`."""
        image = await self._image(stage.image)
        held = AsyncExitStack()
        try:
            container, stream = await self._create(stage, held)
        except FAILURES as error:
            self.later(held.aclose())
            raise StageError(f"the container cannot be created: {_reason(error)}") from error
        except BaseException:
            self.later(held.aclose())
            raise
        return DockerStage(self, image, container, stream, held)

    async def close(self) -> None:
        """Wait until no container and no network is left, and close the connection to the engine."""
        if self._removals:
            await asyncio.wait(self._removals, timeout=GONE_WITHIN)
        if self._network is not None:
            network, self._network = self._network, None
            with suppress(*FAILURES):
                await self._remove_network(await network)
        await self._engine.close()

    def later(self, removal: Coroutine[Any, Any, None]) -> None:
        """Do that beside everything else, but before `close` returns."""
        task = asyncio.ensure_future(removal)
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def _image(self, image: str) -> Image:
        name, tag = split_reference(image)
        began = time.monotonic()
        try:
            found = await self._inspect(image)
            if found is not None:
                return Image(name=name, tag=tag, is_pulled=True, image_size=found["Size"])
            await self._engine.images.pull(image if "@" in image else f"{name}:{tag}")
            found = await self._inspect(image)
        except FAILURES as error:
            raise StageError(f"the image {image} cannot be pulled: {_reason(error)}") from error
        pulled = int((time.monotonic() - began) * 1e9)
        return Image(name=name, tag=tag, image_size=found["Size"] if found else 0, pull_duration=pulled)

    async def _inspect(self, image: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._engine.images.inspect(image)
        except aiodocker.DockerError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def _create(self, stage: StageRun, held: AsyncExitStack) -> tuple[DockerContainer, Stream]:
        folder = Path(tempfile.mkdtemp(prefix="entrypoint-", dir=self._scripts or stage.workspace.parent))
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        network = await self._joined() if self._networked else ""
        configuration = _configuration(stage, folder, job=self._job, network=network)
        creating = asyncio.ensure_future(self._engine.containers.create(configuration))
        held.push_async_callback(_delete, creating)
        container = await asyncio.shield(creating)  # cancelled in between, it would be there and nobody would know
        return container, await held.enter_async_context(_attach(self._engine, container))

    async def _joined(self) -> str:
        """Return the job's network, which is made for whoever asks first."""
        if self._network is None:
            self._network = asyncio.ensure_future(self._create_network())
        return await asyncio.shield(self._network)

    async def _create_network(self) -> str:
        labels = {JOB_LABEL: self._job}
        network = await self._engine.networks.create({"Name": f"estafette-{self._job}", "Labels": labels})
        if _IN_CONTAINER:  # a builder in a container asks services whether they are ready
            with suppress(*FAILURES):
                await network.connect({"Container": socket.gethostname()})
        return str(network.id)

    async def _remove_network(self, name: str) -> None:
        network = await self._engine.networks.get(name)
        with suppress(*FAILURES):
            if _IN_CONTAINER:
                await network.disconnect({"Container": socket.gethostname(), "Force": True})
        with suppress(*FAILURES):
            await network.delete()


class DockerStage:
    """A stage that has its container."""

    def __init__(
        self, runtime: DockerRuntime, image: Image, container: DockerContainer, stream: Stream, held: AsyncExitStack
    ) -> None:
        self.image = image
        self._runtime = runtime
        self._container = container
        self._stream = stream
        self._held = held

    async def run(self, output: Output) -> int:
        """Run the container; see `PreparedStage`."""
        try:
            await self._container.start()
            while (frame := await self._stream.read_out()) is not None:
                await output(STREAMS.get(frame.stream, "stdout"), frame.data)
            return int((await self._container.wait())["StatusCode"])
        except FAILURES as error:
            raise StageError(f"the container cannot be run: {_reason(error)}") from error
        except asyncio.CancelledError:
            with suppress(*FAILURES):
                await self._container.stop(t=int(GRACE))
            raise
        finally:
            self.drop()

    async def address(self) -> str:
        """Return its address in the job's network; see `PreparedStage`."""
        try:
            shown = await self._container.show()
        except FAILURES as error:
            raise StageError(f"the container cannot be asked: {_reason(error)}") from error
        networks = shown["NetworkSettings"]["Networks"].values()
        return next((str(each["IPAddress"]) for each in networks if each["IPAddress"]), "")

    async def execute(self, command: Sequence[str]) -> int:
        """Run a command in the container; see `PreparedStage`."""
        try:
            execution = await self._container.exec(list(command), stdout=True, stderr=True)
            async with execution.start(detach=False) as stream:
                while await stream.read_out() is not None:
                    pass
            return int((await execution.inspect())["ExitCode"])
        except FAILURES as error:
            raise StageError(f"{command[0]} cannot be run: {_reason(error)}") from error

    def drop(self) -> None:
        """Remove the container, and what was put beside it."""
        self._runtime.later(self._held.aclose())


async def _delete(creating: asyncio.Future[DockerContainer]) -> None:
    with suppress(*FAILURES):
        await (await creating).delete(force=True, v=True)


@asynccontextmanager
async def _attach(engine: aiodocker.Docker, container: DockerContainer) -> AsyncIterator[Stream]:
    """Give what the container prints. Its own `attach` asks for the container first, to know if it has a terminal."""

    async def setup() -> tuple[URL, bytes | None, bool]:
        wanted = {"stream": 1, "stdout": 1, "stderr": 1}
        return URL(f"containers/{container.id}/attach").with_query(wanted), None, False

    async with Stream(engine, setup) as stream:
        yield stream


def _configuration(stage: StageRun, folder: Path, *, job: str, network: str) -> dict[str, Any]:
    """Return what the engine is asked to create: the workspace at the stage's directory, the script beside it.

    Its first process is the engine's init: a shell in that place would not hear SIGTERM.
    """
    place: dict[str, Any] = {} if stage.hostname else {"WorkingDir": stage.work_dir}
    binds = [] if stage.hostname else [f"{stage.workspace}:{stage.work_dir}"]
    host: dict[str, Any] = {"Init": True}
    if network:
        aliases = {network: {"Aliases": [stage.hostname]}} if stage.hostname else {}
        place["NetworkingConfig"] = {"EndpointsConfig": aliases}
        host["NetworkMode"] = network
    command: dict[str, Any] = {}
    if stage.commands:
        file = folder / "entrypoint.sh"
        file.write_text(script(stage.shell, stage.commands, foreground=stage.run_commands_in_foreground))
        file.chmod(0o755)
        folder.chmod(0o755)
        binds.append(f"{folder}:/entrypoint:ro")
        command = {"Entrypoint": [stage.shell, "/entrypoint/entrypoint.sh"], "Cmd": []}
    return {
        "Image": stage.image,
        "Env": _pairs(stage.environment),
        "Labels": {JOB_LABEL: job},
        "HostConfig": host | {"Binds": binds},
        **place,
        **command,
    }


def _pairs(environment: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]


def _reason(error: Exception) -> str:
    return str(error.message) if isinstance(error, aiodocker.DockerError) else str(error) or repr(error)


async def connect() -> aiodocker.Docker | None:
    """Return a connection to the engine at its usual place (or DOCKER_HOST), or nothing when none answers."""
    try:
        engine = aiodocker.Docker()
    except (ValueError, AssertionError):  # it asserts that there is a place to look
        return None
    try:
        async with asyncio.timeout(ANSWERS_WITHIN), engine.session.get(f"{engine.docker_host}/_ping") as answer:
            engine.api_version = f"v{answer.headers['Api-Version']}"  # else asked of /version, which takes 20 ms
    except (*FAILURES, KeyError):
        await engine.close()
        return None
    return engine
