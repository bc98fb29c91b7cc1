"""Processes that are kept running, as a container platform would."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each next start of a process that keeps ending."""

SETTLED_AFTER = 10.0
"""Seconds of life after which an end counts as the first one again."""

TAIL = 2_000
"""Characters of a log that an error shows."""

Spawn = Callable[[], "subprocess.Popen[bytes]"]


class Process:
    """A process that is started again when it ends without having been asked to.

    `spawn` starts it; it may be called again and may raise, which counts as an end.
    """

    def __init__(self, name: str, spawn: Spawn, *, log: Path, keep_running: bool = True) -> None:
        self.name = name
        self.log = log
        self.ends = 0
        """How often it ended unasked since `start`."""
        self._spawn = spawn
        self._keep_running = keep_running
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._popen: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The id of the running process, or None."""
        popen = self._popen
        return popen.pid if popen is not None and popen.poll() is None else None

    def start(self) -> None:
        """Start it unless it is there. Raises what `spawn` raises."""
        if self._watcher is not None:
            return
        self._stopping.clear()
        self.ends = 0
        self._popen = self._spawn()
        self._watcher = threading.Thread(target=self._watch, name=f"watch {self.name}", daemon=True)
        self._watcher.start()

    def signal(self, how: Signals) -> None:
        """Send a signal, if it runs. It is started again when that ends it."""
        popen = self._popen
        if popen is not None:
            popen.send_signal(how)

    def kill(self) -> None:
        """End it at once by SIGKILL and wait until it is gone; then it is started again."""
        popen = self._popen
        if popen is not None:
            popen.send_signal(SIGKILL)
            popen.wait()

    def ask_to_stop(self, how: Signals = SIGTERM) -> None:
        """Send the signal and do not start it again."""
        with self._lock:
            self._stopping.set()
        self.signal(how)

    def wait(self, *, until: float) -> bool:
        """Wait for the end that was asked for, by SIGKILL at `until` (monotonic). Returns whether it obeyed."""
        popen, watcher = self._popen, self._watcher
        obeyed = True
        if popen is not None:
            try:
                popen.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                obeyed = False
                popen.kill()
                popen.wait()
        if watcher is not None:
            watcher.join()
        self._popen = self._watcher = None
        return obeyed

    def stop(self, how: Signals = SIGTERM, *, within: float = 10.0) -> bool:
        """End it by the signal, after `within` seconds by SIGKILL. Returns whether it obeyed."""
        self.ask_to_stop(how)
        return self.wait(until=time.monotonic() + within)

    def tail(self) -> str:
        """Return the end of its log."""
        return tail_of(self.log)

    def _watch(self) -> None:
        tries = 0
        while self._popen is not None:
            begun = time.monotonic()
            self._popen.wait()
            tries = 0 if time.monotonic() - begun > SETTLED_AFTER else tries
            started = False
            while not started:
                if self._stopping.is_set() or not self._keep_running:
                    return
                self.ends += 1
                if self._stopping.wait(PAUSES[min(tries, len(PAUSES) - 1)]):
                    return
                tries += 1
                started = self._start_again()

    def _start_again(self) -> bool:
        with self._lock:
            if self._stopping.is_set():
                return False
            try:
                self._popen = self._spawn()
            except Exception as error:  # noqa: BLE001  whatever it is, the next try may work
                with self.log.open("a") as log:
                    log.write(f"{self.name} did not start: {error}\n")
                return False
            return True


def tail_of(log: Path) -> str:
    """Return the end of a log, for an error message."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as content:
        content.seek(max(0, log.stat().st_size - TAIL))
        return content.read().decode(errors="replace").strip() or "(it is empty)"


def program(arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Spawn:
    """Return how to start a program in a session of its own that appends what it prints to the log."""

    def spawn() -> "subprocess.Popen[bytes]":
        with log.open("ab") as output:
            return subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )

    return spawn
