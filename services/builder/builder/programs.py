"""Programs of this machine, each in a session of its own.

Not with asyncio's subprocesses: those wait for whoever holds a program's streams, though the program has long ended,
and uvloop's copy all of this process first, which takes 3 ms of the event loop.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

READ = 64 * 1024
"""Bytes that are read at once, and wait at most."""


class Program:
    """A program that was started, and the ends of the pipes it writes to."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._ended = asyncio.Event()
        self._handle = os.pidfd_open(process.pid)
        self._transports: list[asyncio.ReadTransport] = []
        self.streams: list[asyncio.StreamReader] = []
        """Its stdout, and its stderr if that is not the same."""
        asyncio.get_running_loop().add_reader(self._handle, self._take_end)

    @classmethod
    async def start(
        cls, arguments: Sequence[str], *, where: Path, environment: Mapping[str, str], errors_apart: bool
    ) -> Self:
        """Start a program with nothing to read; OSError or ValueError when that cannot be."""
        program = cls(_start(arguments, where, environment, errors_apart=errors_apart))
        try:
            await program._listen()
        except BaseException:
            program.kill()
            program.close()
            raise
        return program

    @property
    def group(self) -> int:
        """The number of its process group."""
        return self._process.pid

    async def wait(self) -> int:
        """Return its exit code once it ended; negative: the signal that ended it."""
        await self._ended.wait()
        return self._process.returncode

    def signal(self, how: signal.Signals) -> None:
        """Send a signal to it and to all that it started and that is still in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, how)

    def kill(self) -> None:
        """Kill it and all that is still in its group."""
        self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Listen no longer."""
        for transport in self._transports:
            transport.close()

    async def _listen(self) -> None:
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                await self._listen_to(pipe)

    async def _listen_to(self, pipe: IO[bytes]) -> None:
        reader = asyncio.StreamReader(limit=READ)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        self._transports.append(transport)
        self.streams.append(reader)

    def _take_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        self._process.wait()
        self._ended.set()


def _start(
    arguments: Sequence[str], where: Path, environment: Mapping[str, str], *, errors_apart: bool
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        arguments,
        cwd=where,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if errors_apart else subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    )
