"""Stages as plain processes of this machine: for development and tests where there is no container engine."""

import asyncio
import os
import shutil
import signal
import tempfile
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path, PurePosixPath

from estafette_common.bus.messages.logs import Image

from builder.runtimes import GRACE, Output, StageError, StageRun, script

DEFAULT_WORK_DIR = PurePosixPath("/estafette-work")

READ = 64 * 1024
"""Bytes read from a stage at once."""

PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")
"""Variables of this process that a stage needs to find programs and files."""


class ProcessRuntime:
    """Runs stages in sessions of their own; whatever a stage started ends with it."""

    name = "process"
    note = "stages run as processes of this machine; images are ignored"

    def __init__(self, inherited: dict[str, str], groups: Path) -> None:
        self._inherited = {name: inherited[name] for name in PASSED_ON if name in inherited}
        self._groups = groups
        """File that lists the process groups of this job, for who must end them after a crash."""

    async def prepare(self, image: str) -> Image:
        """Describe the image; there is none to make available."""
        name, _, tag = image.partition(":")
        return Image(name=name, tag=tag or "latest", is_pulled=True)

    async def run(self, stage: StageRun, output: Output) -> int:
        """Run the stage's commands; see `StageRuntime`."""
        if not stage.commands:
            raise StageError("a stage without commands runs its image, and there is no container engine here")
        shell = shutil.which(PurePosixPath(stage.shell).name) if not os.access(stage.shell, os.X_OK) else stage.shell
        if shell is None:
            raise StageError(f"the shell {stage.shell} is not on this machine")
        with tempfile.NamedTemporaryFile("w", prefix="stage-", suffix=".sh") as file:
            file.write(script(stage.shell, stage.commands))
            file.flush()
            process = await asyncio.create_subprocess_exec(
                shell,
                file.name,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                cwd=_directory(stage),
                env=self._inherited | dict(stage.environment),
                start_new_session=True,
            )
            with self._groups.open("a") as groups:
                groups.write(f"{process.pid}\n")
            try:
                return await _finish(process, output)
            except asyncio.CancelledError:
                await _end(process)
                raise
            finally:
                _signal(process, signal.SIGKILL)

    async def close(self) -> None:
        """Nothing is held."""


def _directory(stage: StageRun) -> Path:
    wanted = PurePosixPath(stage.work_dir)
    inside = wanted.relative_to(DEFAULT_WORK_DIR) if wanted.is_relative_to(DEFAULT_WORK_DIR) else PurePosixPath()
    directory = stage.workspace / inside
    directory.mkdir(parents=True, exist_ok=True)
    return directory


async def _finish(process: Process, output: Output) -> int:
    reading = asyncio.gather(_read("stdout", process.stdout, output), _read("stderr", process.stderr, output))
    code = await process.wait()
    _signal(process, signal.SIGKILL)  # what the stage left behind holds its streams open
    await reading
    return code if code >= 0 else 128 - code


async def _read(stream: str, reader: asyncio.StreamReader | None, output: Output) -> None:
    while reader is not None and (data := await reader.read(READ)):
        await output(stream, data)


async def _end(process: Process) -> None:
    _signal(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await process.wait()


def _signal(process: Process, how: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, how)
