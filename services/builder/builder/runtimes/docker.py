"""Stages as containers of a Docker Engine, through its API."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer
from aiodocker.stream import Stream
from estafette_common.bus.messages.logs import Image
from msgspec.structs import replace
from yarl import URL

from builder.engine import FAILURES, reason
from builder.images import Found, Images
from builder.runtimes import GRACE, ImageSource, Output, Say, StageError, StageRun, silent
from builder.runtimes.configuring import configuration

STREAMS = {1: "stdout", 2: "stderr"}
"""By the number in the frames that the engine sends."""

JOB_LABEL = "estafette.job"

ANSWERS_WITHIN = 5.0
"""Seconds an engine has to say that it is there."""

GONE_WITHIN = 30.0
"""Seconds the engine has to remove containers at the end of a job."""

_IN_CONTAINER = Path("/.dockerenv").exists()
"""An engine puts that file into its containers."""


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
        self._images = Images(engine)
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

    async def prepare(self, stage: StageRun, say: Say = silent) -> "DockerStage":
        """Pull the image unless the engine has it, create the container and listen to it; see `StageRuntime`.

        Then images that are needed later are pulled beside whatever else is done.
        """
        found = await self._images.get(ImageSource(stage.image, stage.login), say)
        self._images.pull_ahead(stage.later)
        held = AsyncExitStack()
        try:
            container, stream = await self._create(stage, found, held)
        except FAILURES as error:
            self.later(held.aclose())
            raise StageError(f"the container cannot be created: {reason(error)}") from error
        except BaseException:
            self.later(held.aclose())
            raise
        rights = stage.rights
        image = replace(found.image, is_trusted=rights.is_trusted, has_injected_credentials=bool(rights.credentials))
        return DockerStage(self, image, container, stream, held)

    async def close(self) -> None:
        """Wait until no container and no network is left, and close the connection to the engine."""
        await self._images.close()
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

    async def _create(self, stage: StageRun, found: Found, held: AsyncExitStack) -> tuple[DockerContainer, Stream]:
        folder = Path(tempfile.mkdtemp(prefix="stage-", dir=self._scripts or stage.workspace.parent))
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        network = await self._joined() if self._networked else ""
        labels = {JOB_LABEL: self._job}
        wanted = configuration(stage, found, folder, labels=labels, network=network, socket=self._socket())
        creating = asyncio.ensure_future(self._engine.containers.create(wanted))
        held.push_async_callback(_delete, creating)
        container = await asyncio.shield(creating)  # cancelled in between, it would be there and nobody would know
        return container, await held.enter_async_context(_attach(self._engine, container))

    def _socket(self) -> str:
        """Return where the engine listens on this machine; empty when it is elsewhere."""
        connector = self._engine.connector
        return connector.path if isinstance(connector, aiohttp.UnixConnector) else ""

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
        began = False
        try:
            await self._container.start()
            began = True
            await self._read(output)
            return int((await self._container.wait())["StatusCode"])
        except FAILURES as error:
            raise StageError(f"the container cannot be run: {reason(error)}") from error
        except asyncio.CancelledError:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stop())
                if began:
                    group.create_task(self._read_on(output))
            raise
        finally:
            self.drop()

    async def _read(self, output: Output) -> None:
        while (frame := await self._stream.read_out()) is not None:
            await output(STREAMS.get(frame.stream, "stdout"), frame.data)

    async def _stop(self) -> None:
        with suppress(*FAILURES):
            await self._container.stop(t=int(GRACE))

    async def _read_on(self, output: Output) -> None:
        """Give what the container prints while it ends."""
        with suppress(TimeoutError, *FAILURES):
            async with asyncio.timeout(GRACE):
                await self._read(output)

    async def address(self) -> str:
        """Return its address in the job's network; see `PreparedStage`."""
        try:
            shown = await self._container.show()
        except FAILURES as error:
            raise StageError(f"the container cannot be asked: {reason(error)}") from error
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
            raise StageError(f"{command[0]} cannot be run: {reason(error)}") from error

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


async def connect(address: str | None = None) -> aiodocker.Docker | None:
    """Return a connection to the engine at its usual place (or DOCKER_HOST), or an address; nothing if none answers."""
    try:
        engine = aiodocker.Docker(address)
    except (ValueError, AssertionError):  # it asserts that there is a place to look
        return None
    try:
        async with asyncio.timeout(ANSWERS_WITHIN), engine.session.get(f"{engine.docker_host}/_ping") as answer:
            engine.api_version = f"v{answer.headers['Api-Version']}"  # else asked of /version, which takes 20 ms
    except (*FAILURES, KeyError):
        await engine.close()
        return None
    return engine
