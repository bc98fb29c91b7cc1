"""The builder host: starts builders on this machine by forking itself, and starts them again when they die.

Starting a Python process costs some 400 ms; forking this one, which has everything imported, a few, and one fork is
kept ready for the job that comes next. The host has one thread and no event loop, so that a fork is whole. Builders are
sessions of their own and outlive the host; a host that is started again finds them by their folders. What takes time,
as removing a job does, is done by a fork, too.
"""

import gc
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog
from estafette_common.jobs.plan import PlannedStage
from estafette_common.jobs.repeating import why_not_repeated
from estafette_common.jobs.runtimes.protocol import (
    NOT_UNDERSTOOD,
    REQUEST,
    List,
    Remove,
    Reply,
    Start,
)
from estafette_common.manifest import when
from estafette_common.manifest.secrets import SecretError, parse_key

from builder.clients import PATIENCE, Client, Clients
from builder.jobfolders import Folder, Jobs
from builder.spare import Spare

log = structlog.get_logger()

AGAIN_AFTER = 1.0
"""Seconds before what the machine had no room for, a process or a file, is tried again."""

QUIET = 0.05
"""Seconds without anything to do before a spare is made; a builder that was just started has the processor first."""

Run = Callable[[Folder], int]
"""Runs the attempt of a folder in the forked process; returns its exit code."""

Clean = Callable[[Folder], None]
"""Removes what a job whose builder is gone left elsewhere."""


class Host:
    """Serves one socket and watches the builders of one folder."""

    def __init__(self, jobs: Jobs, socket_path: Path, run: Run, clean: Clean, *, attempts: int) -> None:
        self._jobs = jobs
        self._socket_path = socket_path
        self._run = run
        self._clean = clean
        self._attempts = attempts
        self._watched: dict[str, int] = {}
        """The process handle of each job's builder."""
        self._waiting: list[Folder] = []
        """Jobs whose next attempt could not be started yet."""
        self._spare: Spare | None = None
        self._stopping = False

    def serve(self) -> None:
        """Serve until SIGTERM. Builders go on."""
        self._selector = selectors.DefaultSelector()
        self._catch_signals()
        self._socket_path.parent.mkdir(parents=True, exist_ok=True)
        self._socket_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self._socket_path))
            self._socket_path.chmod(0o660)
            listener.listen(128)
            self._clients = Clients(listener, self._selector, self._answer)
            when.parse(PlannedStage(name="any").when)  # its parser is made once, here, for all builders
            gc.collect()
            gc.freeze()
            self._find_jobs()
            log.info("host listens", socket=str(self._socket_path), jobs=len(self._watched))
            while not self._stopping:
                self._turn()
        self._socket_path.unlink(missing_ok=True)

    def _turn(self) -> None:
        ready = self._selector.select(self._patience())
        if not ready and self._spare is None:
            with suppress(OSError):  # the machine has no room now
                self._spare = self._new_spare()
        for key, _ in ready:
            try:
                key.data()
            except Exception:
                log.exception("host goes on")
                time.sleep(0.1)  # or a trouble that stays would take all of a processor
        self._clients.hang_up_on_late_ones()
        waiting, self._waiting = self._waiting, []
        for folder in waiting:
            self._adopt(folder)

    def _patience(self) -> float | None:
        """Return after how many seconds there is something to do though nothing happens."""
        if self._waiting:
            return AGAIN_AFTER
        return QUIET if self._spare is None else self._clients.seconds_left()

    def _catch_signals(self) -> None:
        self._wake, writing = os.pipe()
        for end in (self._wake, writing):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)

        def stop(*_: object) -> None:
            self._stopping = True

        def child_ended(*_: object) -> None:
            """It is enough to wake up."""

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGCHLD, child_ended)

    def _woken(self) -> None:
        os.read(self._wake, 512)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass

    def _answer(self, line: bytes, client: Client) -> bytes | None:
        reply = self._reply(line, client)
        return None if reply is None else _encoded(reply)

    def _reply(self, line: bytes, client: Client) -> Reply | None:
        """Do what a line asks and return the answer; nothing if a fork will give it."""
        try:
            request = REQUEST.validate_json(line)
        except ValueError:
            return Reply(error=NOT_UNDERSTOOD)
        try:
            match request:
                case Start():
                    return self._start(request)
                case Remove():
                    return self._remove(request.name, client)
                case List():
                    return Reply(jobs=[folder.describe() for folder in self._jobs.all()])
        except (SecretError, ValueError) as error:
            log.warning("request cannot be done", verb=request.verb, error=str(error))
            return Reply(error=NOT_UNDERSTOOD)
        except Exception as error:
            log.exception("request failed", verb=request.verb)
            return Reply(error=f"{request.verb}: {error}")

    def _start(self, request: Start) -> Reply:
        folder = self._jobs.folder(request.plan.job_name)
        parse_key(request.key)
        if folder.is_leaving():
            return Reply(error=f"start: {folder.name} is being removed")
        if not folder.exists():
            folder.create(request, after=self._jobs.resumed(request.plan))
            try:
                self._fork_builder(folder, attempt=1)
            except OSError:
                folder.remove()
                raise
        return Reply()

    def _remove(self, name: str, client: Client) -> Reply | None:
        folder = self._jobs.folder(name)
        if not folder.exists():
            return Reply()
        folder.set_leaving()
        self._stop_watching(name)
        self._fork(partial(self._take_away, folder, client), client=client)
        log.info("job is being removed", job=name)
        return None

    def _find_jobs(self) -> None:
        for path in self._jobs.leavings():
            self._fork(partial(shutil.rmtree, path, ignore_errors=True))
        for folder in self._jobs.all():
            self._adopt(folder)

    def _adopt(self, folder: Folder) -> None:
        """Do for a job what is to be done next; try again later when the machine has no room for it."""
        try:
            if not folder.exists():
                return
            if folder.is_leaving():
                self._fork(partial(self._take_away, folder))
            elif not folder.is_done():
                pid = folder.running_pid()
                if pid is None:
                    self._again(folder)
                else:
                    self._watch(folder, pid)
        except Exception:
            log.exception("job waits", job=folder.name)
            self._waiting.append(folder)

    def _watch(self, folder: Folder, pid: int) -> None:
        try:
            handle = os.pidfd_open(pid)
        except OSError:  # it is gone, or there is no room for one more
            self._waiting.append(folder)
            return
        self._watched[folder.name] = handle
        self._selector.register(handle, selectors.EVENT_READ, partial(self._ended, folder, handle))

    def _ended(self, folder: Folder, handle: int) -> None:
        if self._watched.get(folder.name) == handle:
            self._stop_watching(folder.name)
            self._adopt(folder)

    def _stop_watching(self, name: str) -> None:
        handle = self._watched.pop(name, None)
        if handle is not None:
            self._selector.unregister(handle)
            os.close(handle)

    def _again(self, folder: Folder) -> None:
        attempt = folder.attempt() + 1
        folder.end_group()
        obstacle = _why_not_again(folder)
        if obstacle or attempt > self._attempts:
            reason = obstacle or "it died too often"
            log.error("builder died; not started again", job=folder.name, attempts=attempt - 1, reason=reason)
            folder.give_up()
            self._fork(partial(self._clean, folder))
            return
        log.warning("builder died; started again", job=folder.name, attempt=attempt)
        self._fork_builder(folder, attempt=attempt)

    def _fork_builder(self, folder: Folder, *, attempt: int) -> None:
        folder.set_attempt(attempt)
        spare, self._spare = self._spare, None
        try:
            pid = self._begin(folder, spare or self._new_spare())
        except BrokenPipeError:  # the spare died
            pid = self._begin(folder, self._new_spare())
        log.info("builder started", job=folder.name, attempt=attempt, pid=pid)
        self._watch(folder, pid)

    def _begin(self, folder: Folder, spare: Spare) -> int:
        """Leave a job to a process that a later host knows of before it begins."""
        try:
            folder.set_pid(spare.pid)
        except OSError:
            spare.let_go()
            raise
        spare.begin(folder.name)
        return spare.pid

    def _new_spare(self) -> Spare:
        return Spare(self._fork, lambda name: self._build(self._jobs.folder(name)))

    def _fork(self, work: Callable[[], int | None], *, client: Client | None = None) -> int:
        """Do the work in a process of its own, which keeps a client and exits with the code of the work."""
        pid = os.fork()
        if pid:
            return pid
        code: int | None = 1
        try:
            self._become_other(client)
            code = work()
        except BaseException:
            log.exception("fork failed")
        finally:
            sys.stderr.flush()
            os._exit(code or 0)

    def _become_other(self, client: Client | None) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(each, signal.SIG_DFL)
        self._selector.close()
        self._clients.let_go(but=client)
        self._jobs.let_go()
        if self._spare is not None:
            self._spare.let_go()
        for handle in self._watched.values():
            os.close(handle)

    def _build(self, folder: Folder) -> int:
        with folder.log.open("ab") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        code = self._run(folder)
        if code == 0:
            folder.set_done()
        return code

    def _take_away(self, folder: Folder, client: Client | None = None) -> None:
        """End a job and forget it, and tell the client who asked for it."""
        try:
            folder.end()
            self._clean(folder)
        finally:
            self._jobs.remove(folder)
        if client is not None:
            client.connection.settimeout(PATIENCE)
            client.connection.sendall(_encoded(Reply()))


def _why_not_again(folder: Folder) -> str:
    """Return why a job is not begun again although it has attempts left; empty when it is."""
    if not folder.attempt():
        return ""
    try:
        return why_not_repeated(folder.plan())
    except ValueError:  # a plan of another version: its attempts fail, and are few
        return ""


def _encoded(reply: Reply) -> bytes:
    return reply.model_dump_json().encode() + b"\n"
