"""What the builder host knows of its jobs: a folder for each, nothing in memory."""

import fcntl
import json
import os
import re
import select
import shutil
import signal
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from estafette_common.jobs.plan import Plan
from estafette_common.jobs.runtimes.protocol import LocalJob, Start

from builder import progress
from builder.attempt import Attempt
from builder.shelf import Shelf

GRACE = 12.0
"""Seconds a builder has to end its stages when its job is removed."""

KILLED_WITHIN = 5.0
"""Seconds the system has to end a process that was killed."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""Of a job, and of its folder."""

NATS_CREDENTIALS = "nats.creds"

NEEDED_TO_GO_ON = frozenset({"plan.json", "progress", "workspace", "done", "leaving"})
"""What of a folder another job needs, or tells that it is being removed until it is gone."""

HIDDEN = ".job."
"""How the name of a folder begins that is half made or half removed."""


class OccupiedError(Exception):
    """Another host serves this folder."""


class Jobs:
    """All jobs of a host. Only one host at a time holds them."""

    def __init__(self, root: Path, *, keep: float, most_bytes: int) -> None:
        """`keep` is how many seconds workspaces of failed jobs are kept, `most_bytes` what they may take together."""
        self._root = root
        self._shelf = Shelf(root / ".kept", seconds=keep, most_bytes=most_bytes)
        root.mkdir(parents=True, exist_ok=True)
        self._lock = (root / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OccupiedError(f"another builder host serves {root}") from None

    def let_go(self) -> None:
        """Give up the hold, in a forked process that would keep it for as long as it lives."""
        self._lock.close()

    def folder(self, name: str) -> "Folder":
        """Return the folder of a job, which may not exist; ValueError for a name that is none."""
        if NAME.fullmatch(name) is None:
            raise ValueError(f"not the name of a job: {name!r}")
        return Folder(self._root / name)

    def resumed(self, plan: Plan) -> "Folder | None":
        """Return the folder of the job that a plan goes on after, if it ended and had the same revision to run."""
        if not plan.resumes:
            return None
        here = self.folder(f"{plan.kind}-{plan.resumes}")
        earlier = here if here.exists() else Folder(self._shelf.path(here.name))
        if not earlier.exists() or not earlier.is_done() or here.is_leaving():
            return None
        ran = earlier.plan()
        return earlier if (ran.repository, ran.revision) == (plan.repository, plan.revision) else None

    def remove(self, folder: "Folder") -> None:
        """Forget a job: at once, though it may take long. What a rebuild could go on in is kept for a while."""
        try:
            if folder.is_worth_keeping():
                folder.strip()
                folder.put_on(self._shelf)
        finally:
            folder.remove()
            self._shelf.tidy()

    def all(self) -> list["Folder"]:
        """Return the folders of all jobs."""
        folders = [Folder(entry) for entry in sorted(self._root.iterdir()) if NAME.fullmatch(entry.name)]
        return [folder for folder in folders if folder.exists()]

    def leavings(self) -> list[Path]:
        """Return what a host that was killed left half made or half removed."""
        return [entry for entry in self._root.iterdir() if entry.name.startswith(HIDDEN)]


class Folder:
    """The folder of one job. It exists once the job was accepted, and survives the builder and the host."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The name of the job."""
        return self._path.name

    @property
    def log(self) -> Path:
        """Where the builder writes its own log."""
        return self._path / "builder.log"

    def exists(self) -> bool:
        """Return whether the job was ever accepted."""
        return (self._path / "plan.json").exists()

    def create(self, request: Start, *, after: "Folder | None" = None) -> None:
        """Make the folder, whole or not at all, with the workspace of an earlier job where that has one."""
        fresh = self._aside("new")
        (fresh / "workspace").mkdir(parents=True)
        (fresh / "plan.json").write_text(request.plan.model_dump_json())
        (fresh / "traceparent").write_text(request.traceparent)
        _write_secret(fresh / "key", request.raw_key())
        if request.nats_credential:
            _write_secret(fresh / NATS_CREDENTIALS, request.nats_credential.encode())
        if after is not None:
            after.hand_over(fresh)
        shutil.rmtree(self._path, ignore_errors=True)
        fresh.rename(self._path)

    def hand_over(self, fresh: Path) -> None:
        """Move the workspace of a job that ended, and what is noted of it, into the folder of another."""
        workspace, noted = self._path / "workspace", self._path / "progress"
        if workspace.exists() and noted.exists():
            (fresh / "workspace").rmdir()
            noted.rename(fresh / "progress")
            workspace.rename(fresh / "workspace")

    def is_worth_keeping(self) -> bool:
        """Return whether another job could go on where this one failed."""
        if not self.exists() or not self.is_done():
            return False
        return progress.is_worth_keeping(self.plan().stages, progress.Progress(self._path / "progress").read())

    def strip(self) -> None:
        """Forget all that was the job's alone, its secrets above all; another one cannot need it."""
        for entry in self._path.iterdir():
            if entry.name in NEEDED_TO_GO_ON:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def put_on(self, shelf: Shelf) -> None:
        """Leave what is left to a shelf, if that takes it."""
        shelf.put(self._path)

    def plan(self) -> Plan:
        """Return what the job is to do."""
        return Plan.model_validate_json((self._path / "plan.json").read_text())

    def read(self) -> Attempt:
        """Return the current attempt of the job."""
        credentials = self._path / NATS_CREDENTIALS
        return Attempt(
            plan=self.plan(),
            key=(self._path / "key").read_bytes(),
            nats_credentials=credentials if credentials.exists() else None,
            number=self.attempt(),
            workspace=self._path / "workspace",
            group=self._group,
            traceparent=(self._path / "traceparent").read_text(),
        )

    def describe(self) -> LocalJob:
        """Return the job as clients of the host see it."""
        plan = json.loads((self._path / "plan.json").read_text())
        return LocalJob(
            name=self.name,
            kind=plan["kind"],
            job_id=plan["job_id"],
            alive=not self.is_done() and self.running_pid() is not None,
            created_at=datetime.fromtimestamp((self._path / "plan.json").stat().st_mtime, UTC),
        )

    def attempt(self) -> int:
        """Return the number of the attempt that was started last; 0 if none was."""
        return int(self._read("attempt") or 0)

    def set_attempt(self, attempt: int) -> None:
        """Remember which attempt is started."""
        self._write("attempt", str(attempt))
        self._group.unlink(missing_ok=True)
        (self._path / "pid").unlink(missing_ok=True)

    def set_pid(self, pid: int) -> None:
        """Remember the builder's process; its start time tells it from a later one of the same number."""
        self._write("pid", f"{pid} {_start_time(pid)}")

    def running_pid(self) -> int | None:
        """Return the builder's process if it runs."""
        words = self._read("pid").split()
        if len(words) == 2 and _start_time(int(words[0])) == words[1]:
            return int(words[0])
        return None

    def is_done(self) -> bool:
        """Return whether nothing is left to do: the outcome is published, or the host gave up."""
        return (self._path / "done").exists()

    def set_done(self) -> None:
        """Remember that the outcome is published."""
        self._write("done", "published")

    def give_up(self) -> None:
        """Remember that the builder died too often."""
        self._write("done", "given up")

    def is_leaving(self) -> bool:
        """Return whether the job is being removed."""
        return (self._path / "leaving").exists()

    def set_leaving(self) -> None:
        """Remember that the job is to be removed, whatever happens to who does it."""
        self._write("leaving", "")

    def end(self) -> None:
        """End the builder and its stages, if they run."""
        pid = self.running_pid()
        with suppress(ProcessLookupError):
            if pid is not None:
                _end(pid)
        self.end_group()

    def end_group(self) -> None:
        """Kill what a dead builder's stage or git still runs."""
        if not self._read("pid").endswith(_boot()):
            return  # the number is of a process before the machine was started again
        for group in self._read("groups").split():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(group), signal.SIGKILL)

    def remove(self) -> None:
        """Forget the job: at once, though removing its files may take long."""
        aside = self._aside("old")
        with suppress(FileNotFoundError):
            self._path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _aside(self, what: str) -> Path:
        return self._path.parent / f"{HIDDEN}{self.name}.{what}.{os.getpid()}"

    @property
    def _group(self) -> Path:
        return self._path / "groups"

    def _read(self, name: str) -> str:
        file = self._path / name
        return file.read_text() if file.exists() else ""

    def _write(self, name: str, text: str) -> None:
        fresh = self._path / f"{name}.new"
        fresh.write_text(text)
        fresh.rename(self._path / name)


def _write_secret(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as output:
        output.write(content)


def _end(pid: int) -> None:
    """Ask a process to end, and kill it if it takes too long; ProcessLookupError if it is gone."""
    handle = os.pidfd_open(pid)
    try:
        ended = select.poll()
        ended.register(handle)
        for how, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, KILLED_WITHIN)):
            signal.pidfd_send_signal(handle, how)
            if ended.poll(seconds * 1000):
                return
    finally:
        os.close(handle)


def _start_time(pid: int) -> str:
    """Return when a process started, in ticks since a boot (proc(5)); nothing when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    return "gone" if fields[0] == "Z" else f"{fields[19]}@{_boot()}"


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
