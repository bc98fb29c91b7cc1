"""The builder host: starts builders on this machine by forking itself, and starts them again when they die.

Starting a Python process costs some 400 ms; forking this one, which has everything imported, a few. It has one thread
and no event loop, so that a fork is whole. Builders are sessions of their own and outlive the host; a host that is
started again finds them by their folders.
"""

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from estafette_common.jobs.plan import PlannedStage
from estafette_common.jobs.runtimes.protocol import (
    LINE_LIMIT,
    NOT_UNDERSTOOD,
    REQUEST,
    List,
    Remove,
    Reply,
    Start,
)
from estafette_common.manifest import when

from builder.jobfolders import Folder, Jobs

log = structlog.get_logger()

REQUEST_WITHIN = 10.0
"""Seconds a client has to say what it wants."""

Run = Callable[[Folder], int]
"""Runs the attempt of a folder in the forked process; returns its exit code."""


class Host:
    """Serves one socket and watches the builders of one folder."""

    def __init__(self, jobs: Jobs, socket_path: Path, run: Run, *, attempts: int) -> None:
        self._jobs = jobs
        self._socket_path = socket_path
        self._run = run
        self._attempts = attempts
        self._watched: dict[int, Folder] = {}
        self._stopping = False

    def serve(self) -> None:
        """Serve until SIGTERM. Builders go on."""
        wake = self._catch_signals()
        self._socket_path.parent.mkdir(parents=True, exist_ok=True)
        self._socket_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as self._listener:
            self._listener.bind(str(self._socket_path))
            self._socket_path.chmod(0o660)
            self._listener.listen(128)
            when.parse(PlannedStage(name="any").when)  # its parser is made once, here, for all builders
            gc.collect()
            gc.freeze()
            for folder in self._jobs.all():
                self._adopt(folder)
            log.info("host listens", socket=str(self._socket_path), jobs=len(self._watched))
            while not self._stopping:
                self._turn(wake)
        self._socket_path.unlink(missing_ok=True)

    def _turn(self, wake: int) -> None:
        readable, _, _ = select.select([self._listener.fileno(), wake, *self._watched], [], [])
        for handle in readable:
            if handle == self._listener.fileno():
                self._answer()
            elif handle == wake:
                os.read(wake, 512)
            else:
                self._ended(handle)

    def _catch_signals(self) -> int:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def stop(*_: object) -> None:
            self._stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        return reading

    def _answer(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(REQUEST_WITHIN)
            with suppress(OSError):
                reply = self._reply(connection.makefile("rb").readline(LINE_LIMIT))
                connection.sendall(reply.model_dump_json().encode() + b"\n")

    def _reply(self, line: bytes) -> Reply:
        try:
            request = REQUEST.validate_json(line)
        except ValueError:
            return Reply(error=NOT_UNDERSTOOD)
        try:
            match request:
                case Start():
                    self._start(request)
                    return Reply()
                case Remove():
                    self._remove(request.name)
                    return Reply()
                case List():
                    return Reply(jobs=[folder.describe() for folder in self._jobs.all()])
        except OSError as error:
            log.exception("request failed", verb=request.verb)
            return Reply(error=f"{request.verb}: {error}")

    def _start(self, request: Start) -> None:
        folder = self._jobs.folder(request.plan.job_name)
        if folder.exists():
            return
        folder.create(request)
        self._fork(folder, attempt=1)

    def _remove(self, name: str) -> None:
        folder = self._jobs.folder(name)
        if not folder.exists():
            return
        for handle, watched in list(self._watched.items()):
            if watched.name == name:
                del self._watched[handle]
                os.close(handle)
        folder.end()
        folder.remove()
        log.info("job removed", job=name)

    def _adopt(self, folder: Folder) -> None:
        if folder.is_done():
            return
        pid = folder.running_pid()
        if pid is None:
            self._again(folder)
        else:
            self._watch(folder, pid)

    def _watch(self, folder: Folder, pid: int) -> None:
        try:
            self._watched[os.pidfd_open(pid)] = folder
        except ProcessLookupError:
            self._again(folder)

    def _ended(self, handle: int) -> None:
        folder = self._watched.pop(handle, None)
        os.close(handle)
        if folder is None:
            return
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        if not folder.is_done():
            self._again(folder)

    def _again(self, folder: Folder) -> None:
        attempt = folder.attempt() + 1
        folder.end_stages()
        if attempt > self._attempts:
            log.error("builder died too often", job=folder.name, attempts=self._attempts)
            folder.give_up()
            return
        log.warning("builder died; started again", job=folder.name, attempt=attempt)
        self._fork(folder, attempt=attempt)

    def _fork(self, folder: Folder, *, attempt: int) -> None:
        folder.set_attempt(attempt)
        pid = os.fork()
        if pid:
            folder.set_pid(pid)
            log.info("builder started", job=folder.name, attempt=attempt, pid=pid)
            self._watch(folder, pid)
            return
        code = 1
        try:
            self._become_builder(folder)
            code = self._run(folder)
            if code == 0:
                folder.set_done()
        except BaseException:
            log.exception("builder failed", job=folder.name)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _become_builder(self, folder: Folder) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        self._listener.close()
        self._jobs.let_go()
        for handle in self._watched:
            os.close(handle)
        with folder.log.open("ab") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
