"""What a run that was killed left behind: found by a mark in the environment of its processes, and ended."""

import fcntl
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

MARK = "ESTAFETTE_STACK"
"""Environment variable of every process of a stack: the folder of its data."""

SERVERS = {"nats-server", "postgres"}
"""Ended after the others, for those need them to end well; SIGINT makes both stop at once and in order."""


class Busy(Exception):  # noqa: N818  it is not an error of ours that another one runs
    """Another stack runs on the same data; the message names its process."""


def occupy(data: Path) -> IO[str]:
    """Return a lock on the data that lasts as long as this process, or until it is closed. Raises Busy."""
    lock = (data / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise Busy(f"a stack with data in {data} runs already (process {holder}); stop that one first") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def end_processes(data: Path, *, within: float = 5.0) -> list[str]:
    """End every process that a stack on this data left and return their programs."""
    programs = {pid: _program(pid) for pid in _marked(data)}
    servers = [pid for pid, program in programs.items() if program in SERVERS]
    others = [pid for pid in programs if pid not in servers]
    _end(others, signal.SIGTERM, within)
    _end(servers, signal.SIGINT, within)
    return list(programs.values())


def _marked(data: Path) -> list[int]:
    mark = f"{MARK}={data}".encode()
    own = {os.getpid(), os.getppid()}
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) not in own:
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def _program(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        return words[words.index("-m") + 1] if "-m" in words else Path(words[0]).name
    return str(pid)


def _end(pids: list[int], how: signal.Signals, within: float) -> None:
    for pid in pids:
        _send(pid, how)
    deadline = time.monotonic() + within
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in filter(_alive, pids):
        _send(pid, signal.SIGKILL)


def _send(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, how)


def _alive(pid: int) -> bool:
    """Whether it runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
