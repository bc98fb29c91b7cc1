"""Stages as plain processes of this machine: for development and tests where there is no container engine."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from estafette_common.bus.messages.logs import Image

from builder.entrypoint import script
from builder.programs import READ, Program
from builder.runtimes import GRACE, Output, Say, StageError, StageRun, beside, silent, split_reference

DEFAULT_WORK_DIR = PurePosixPath("/estafette-work")

PATIENCE = 0.3
"""Seconds to wait, in all, for output of a stage that ended: who left its session may hold the streams open."""

PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")
"""Variables of this process that a stage needs to find programs and files."""


class ProcessRuntime:
    """Runs stages in sessions of their own; whatever a stage started there ends with it."""

    name = "process"
    note = "stages run as processes of this machine; images are ignored"

    def __init__(self, inherited: dict[str, str], groups: Path, *, scripts: Path | None = None) -> None:
        """Take variables, the file that names what runs, and where scripts are written, if not beside workspaces."""
        self._inherited = {name: inherited[name] for name in PASSED_ON if name in inherited}
        self._groups = Groups(groups)
        self._scripts = scripts

    async def prepare(self, stage: StageRun, say: Say = silent) -> "ProcessStage":  # noqa: ARG002  nothing takes long
        """Describe the image; there is none to make available."""
        if stage.hostname:
            raise StageError("services need a container engine, and there is none here")
        name, tag = split_reference(stage.image)
        image = Image(name=name, tag=tag, is_pulled=True)
        scripts = self._scripts or beside(stage.workspace)
        return ProcessStage(image=image, stage=stage, inherited=self._inherited, groups=self._groups, scripts=scripts)

    async def close(self) -> None:
        """Nothing is held."""


class Groups:
    """The process groups that run, in a file for who must end them after a crash."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._running: set[int] = set()

    @contextmanager
    def holding(self, group: int) -> Iterator[None]:
        """Name a group for as long as it runs."""
        self._running.add(group)
        self._write()
        try:
            yield
        finally:
            self._running.discard(group)
            self._write()

    def _write(self) -> None:
        self._file.write_text("".join(f"{group}\n" for group in sorted(self._running)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStage:
    """A stage that is run as a process."""

    image: Image
    stage: StageRun
    inherited: dict[str, str]
    groups: Groups
    scripts: Path
    """Where its script is for as long as it runs; what a killed builder leaves goes with the job's folder."""

    async def run(self, output: Output) -> int:
        """Run the stage's commands; see `PreparedStage`."""
        if not self.stage.commands:
            raise StageError("a stage without commands runs its image, and there is no container engine here")
        with tempfile.NamedTemporaryFile("w", prefix="stage-", suffix=".sh", dir=self.scripts) as file:
            stage = self.stage
            file.write(script(stage.shell, stage.commands, foreground=stage.run_commands_in_foreground))
            file.flush()
            try:
                program = await self._start(file.name)
            except (OSError, ValueError) as error:
                raise StageError(f"the stage cannot be started: {error}") from error
            with self.groups.holding(program.group):
                try:
                    return await _finish(program, output)
                except asyncio.CancelledError:
                    await _end(program, output)
                    raise
                finally:
                    program.kill()
                    program.close()

    async def address(self) -> str:
        """Return this machine."""
        return "127.0.0.1"

    async def execute(self, command: Sequence[str]) -> int:
        """Services are not run here, and nobody else is asked."""
        raise StageError(f"{' '.join(command)}: there is no container engine here")

    def drop(self) -> None:
        """Nothing is held."""

    async def _start(self, script_file: str) -> Program:
        return await Program.start(
            [_shell(self.stage.shell), script_file],
            where=_directory(self.stage),
            environment=self.inherited | dict(self.stage.environment),
            errors_apart=True,
        )


def _shell(wanted: str) -> str:
    """Return a shell of this machine: the one that is wanted, or of its name on PATH."""
    found = wanted if os.access(wanted, os.X_OK) else shutil.which(PurePosixPath(wanted).name)
    if found is None:
        raise StageError(f"the shell {wanted} is not on this machine")
    return found


def _directory(stage: StageRun) -> Path:
    wanted = PurePosixPath(stage.work_dir)
    inside = wanted.relative_to(DEFAULT_WORK_DIR) if wanted.is_relative_to(DEFAULT_WORK_DIR) else PurePosixPath()
    directory = stage.workspace / inside
    directory.mkdir(parents=True, exist_ok=True)
    return directory


class _Pipe:
    """What a stage prints on one stream: to its end, or for as long as patience lasts after the stage ended."""

    def __init__(self, stream: str, reader: asyncio.StreamReader, output: Output) -> None:
        self._stream = stream
        self._reader = reader
        self._output = output
        self._patience: float | None = None
        self._limit: asyncio.Timeout | None = None

    async def read(self) -> None:
        """Give all of it to the output."""
        while data := await self._some():
            await self._output(self._stream, data)

    def stage_ended(self) -> None:
        """Wait no longer than it takes to read what is there."""
        self._patience = PATIENCE
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + PATIENCE)

    async def _some(self) -> bytes:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience) as self._limit:
                return await self._reader.read(READ)
        except TimeoutError:
            return b""
        finally:
            self._limit = None
            if self._patience is not None:
                self._patience = max(0.0, self._patience - (time.monotonic() - began))


async def _finish(program: Program, output: Output) -> int:
    pipes = [_Pipe(name, reader, output) for name, reader in zip(("stdout", "stderr"), program.streams, strict=True)]
    reading = asyncio.gather(*(pipe.read() for pipe in pipes))
    reading.add_done_callback(lambda end: end.cancelled() or end.exception())  # else asyncio prints that nobody asked
    try:
        code = await program.wait()
        program.kill()  # what the stage left behind holds its streams open
        for pipe in pipes:
            pipe.stage_ended()
        await reading
    finally:
        reading.cancel()
    return code if code >= 0 else 128 - code


async def _end(program: Program, output: Output) -> None:
    """Ask the stage to end, and give what it prints meanwhile."""
    program.signal(signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await _finish(program, output)
