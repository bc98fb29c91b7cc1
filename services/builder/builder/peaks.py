"""What a job took at most, from samples of what its control group has used. Pure."""

from collections import deque
from dataclasses import dataclass

from estafette_common.jobs.usage import Usage

WINDOW = 60.0
"""Seconds over which the use of CPU is averaged."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a control group shows at a moment."""

    time: float
    """Seconds, of a clock that never goes back."""
    memory: int
    """Bytes of its working set."""
    cpu: float
    """Seconds of CPU that it has used since it was made."""
    killed: int = 0
    """How many of its processes were ended for want of memory since then."""


class Peaks:
    """Keeps the most of what was seen. Samples come in the order of their time."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        """Those of the last window, and the one just before it."""
        self._memory = 0
        self._cpu: float | None = None
        self._killed_before: int | None = None
        self._short = False

    def add(self, sample: Sample) -> None:
        """Take a sample into account."""
        self._memory = max(self._memory, sample.memory)
        if self._killed_before is None:
            self._killed_before = sample.killed
        self._short = sample.killed > self._killed_before
        self._samples.append(sample)
        while len(self._samples) > 1 and sample.time - self._samples[1].time >= WINDOW:
            self._samples.popleft()
        if sample.time - self._samples[0].time >= WINDOW:
            self._cpu = max(self._cpu or 0.0, _rate(self._samples[0], sample))

    def usage(self) -> Usage | None:
        """Return the most of everything; nothing where too little time has passed between the samples."""
        if not self._samples:
            return None
        first, last = self._samples[0], self._samples[-1]
        if last.time <= first.time:
            return None
        cpu = _rate(first, last) if self._cpu is None else self._cpu
        return Usage(memory=self._memory, cpu=cpu, out_of_memory=self._short)


def working_set(used: int, inactive_file: int) -> int:
    """Return the bytes that cannot be given back, as Kubernetes counts them: all but files not read for long."""
    return max(used - inactive_file, 0)


def field(text: str, name: str, *, missing: int | None = None) -> int:
    """Return a number of a file with a name and a number on each line, or else `missing`. ValueError without either."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    if missing is None:
        raise ValueError(f"no {name}")
    return missing


def own_path(membership: str, controller: str) -> str:
    """Return the path of a control group within its hierarchy, from `/proc/self/cgroup`; `/` where none is named.

    The controller is empty for that of version 2.
    """
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def _rate(before: Sample, after: Sample) -> float:
    return max(after.cpu - before.cpu, 0.0) / (after.time - before.time)
