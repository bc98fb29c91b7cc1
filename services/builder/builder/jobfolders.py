"""What the builder host knows of its jobs: a folder for each, nothing in memory."""

import fcntl
import json
import os
import shutil
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from estafette_common.jobs.plan import Plan
from estafette_common.jobs.runtimes.protocol import LocalJob, Start

from builder.attempt import Attempt

GRACE = 12.0
"""Seconds a builder has to end its stages when its job is removed."""


class OccupiedError(Exception):
    """Another host serves this folder."""


class Jobs:
    """All jobs of a host. Only one host at a time holds them."""

    def __init__(self, root: Path) -> None:
        self._root = root
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
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"not the name of a job: {name!r}")
        return Folder(self._root / name)

    def all(self) -> list["Folder"]:
        """Return the folders of all jobs."""
        return [Folder(entry) for entry in sorted(self._root.iterdir()) if not entry.name.startswith(".")]


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
        return self._path.exists()

    def create(self, request: Start) -> None:
        """Make the folder, whole or not at all."""
        fresh = self._path.parent / f".{self.name}.{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "workspace").mkdir(parents=True)
        (fresh / "plan.json").write_text(request.plan.model_dump_json())
        (fresh / "traceparent").write_text(request.traceparent)
        descriptor = os.open(fresh / "key", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(request.raw_key())
        fresh.rename(self._path)

    def read(self) -> Attempt:
        """Return the current attempt of the job."""
        return Attempt(
            plan=Plan.model_validate_json((self._path / "plan.json").read_text()),
            key=(self._path / "key").read_bytes(),
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

    def end(self) -> None:
        """End the builder and its stages, if they run."""
        pid = self.running_pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + GRACE
            while self.running_pid() is not None and time.monotonic() < deadline:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                time.sleep(0.02)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.end_stages()

    def end_stages(self) -> None:
        """Kill what stages of a dead builder still run."""
        for group in self._read("groups").split():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(group), signal.SIGKILL)

    def remove(self) -> None:
        """Forget the job."""
        shutil.rmtree(self._path, ignore_errors=True)

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


def _start_time(pid: int) -> str:
    """Return when a process started, in ticks since boot (proc(5)); nothing when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    return "gone" if fields[0] == "Z" else fields[19]
