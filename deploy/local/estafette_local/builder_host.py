"""Asking the builder host for its jobs, as the local runtime does, without asyncio."""

import socket
from pathlib import Path

from estafette_common.jobs.runtimes.protocol import LINE_LIMIT, List, LocalJob, Remove, Reply

ANSWERS_WITHIN = 20.0
"""Seconds; removing a job waits for its stages to end, at most 12."""


class BuilderHost:
    """The builder host that listens on a unix socket. Calls raise OSError when nobody does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def answers(self) -> bool:
        """Return whether it is there."""
        try:
            self.jobs()
        except (OSError, ValueError):
            return False
        return True

    def jobs(self) -> list[LocalJob]:
        """Return the jobs that it has, running or ended."""
        return self._ask(List()).jobs

    def remove_all(self) -> None:
        """Stop and forget every job."""
        for job in self.jobs():
            self._ask(Remove(name=job.name))

    def _ask(self, question: List | Remove) -> Reply:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWERS_WITHIN)
            connection.connect(str(self._path))
            connection.sendall(question.model_dump_json().encode() + b"\n")
            with connection.makefile("rb") as answer:
                return Reply.model_validate_json(answer.readline(LINE_LIMIT))
