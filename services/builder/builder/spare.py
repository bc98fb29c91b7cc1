"""A process that is forked ahead of its job: the job need not wait for the fork, nor for what comes after one."""

import asyncio
import os
from collections.abc import Callable

LONGEST_NAME = 4096
"""Bytes; a name of this length is still written whole (pipe(7))."""


class Spare:
    """A fork that waits to be told of a job. It ends when the host that keeps it does."""

    def __init__(self, fork: Callable[[Callable[[], int]], int], work: Callable[[str], int]) -> None:
        """Fork; the new process does the `work` of the job that it is told of. OSError where there is no room."""
        self._hearing, self._telling = os.pipe()
        try:
            self.pid = fork(lambda: self._wait(work))
        except OSError:
            os.close(self._telling)
            raise
        finally:
            os.close(self._hearing)

    def begin(self, job: str) -> None:
        """Tell it of its job and let it go. BrokenPipeError if it is dead."""
        try:
            os.write(self._telling, job.encode())
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Give up this process's hold; one that was told of no job ends once nobody has it any more."""
        os.close(self._telling)

    def _wait(self, work: Callable[[str], int]) -> int:
        os.close(self._telling)
        asyncio.run(asyncio.sleep(0))  # the memory that a loop writes to is copied now, and not when the job waits
        job = os.read(self._hearing, LONGEST_NAME).decode()
        return work(job) if job else 0
