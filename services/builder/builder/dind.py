"""A Docker Engine of one job's own (docker-in-docker), for a builder that is alone in its container and may start one.

It takes over the network of where it is started, its bridge and its firewall: never start it beside another engine.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from estafette_common.jobs.plan import OwnEngine

from builder.runtimes import docker

PROGRAM = ("dockerd",)

DATA = Path("/var/lib/docker")
"""Where it keeps images and containers: a volume, for the files of a container cannot hold those of others."""

STARTS_WITHIN = 60.0
"""Seconds."""

LOOKED_EVERY = 0.05
"""Seconds."""

ENDS_WITHIN = 15.0
"""Seconds, after SIGTERM; its containers are gone by then."""

MOST_TOLD = 2000
"""Characters of its log that are told when it does not start."""


class OwnEngineError(Exception):
    """The engine did not start; the message says why."""


@asynccontextmanager
async def own_engine(
    wanted: OwnEngine, folder: Path, *, data: Path = DATA, program: Sequence[str] = PROGRAM
) -> AsyncIterator[str]:
    """Run an engine with its files in a folder; gives its address, `unix://…`, once it answers. Raises OwnEngineError.

    `program` starts it with the arguments that follow.
    """
    address = f"unix://{folder / 'docker.sock'}"
    output = folder / "dockerd.log"
    with output.open("wb") as log:
        try:
            process = await asyncio.create_subprocess_exec(
                *program, *arguments(wanted, folder, data), stdout=log, stderr=log, start_new_session=True
            )
        except OSError as error:
            raise OwnEngineError(f"{program[0]} cannot be started: {error}") from error
    try:
        await _answers(address, process, output)
        yield address
    finally:
        await _end(process)


def arguments(wanted: OwnEngine, folder: Path, data: Path) -> list[str]:
    """Return what the engine is started with."""
    return [
        f"--host=unix://{folder / 'docker.sock'}",
        f"--data-root={data}",
        f"--exec-root={folder / 'exec'}",
        f"--pidfile={folder / 'dockerd.pid'}",
        *([f"--mtu={wanted.mtu}"] if wanted.mtu else []),
        *([f"--bip={wanted.bip}"] if wanted.bip else []),
        *([f"--registry-mirror={wanted.registry_mirror}"] if wanted.registry_mirror else []),
    ]


async def _answers(address: str, process: asyncio.subprocess.Process, output: Path) -> None:
    """Return once the engine answers."""
    with suppress(TimeoutError):
        async with asyncio.timeout(STARTS_WITHIN):
            while process.returncode is None:
                if (engine := await docker.connect(address)) is not None:
                    await engine.close()
                    return
                await asyncio.sleep(LOOKED_EVERY)
    raise OwnEngineError(f"the job's own Docker Engine did not start: {_end_of(output)}")


def _end_of(output: Path) -> str:
    return output.read_text(errors="replace").strip()[-MOST_TOLD:] or "it says nothing"


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(ENDS_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
