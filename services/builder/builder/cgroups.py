"""The files in which Linux shows what a control group uses.

See https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory.html and cpuacct.html beside it.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.peaks import Sample, field, own_path, working_set

MEMBERSHIP = Path("/proc/self/cgroup")


class Group(Protocol):
    """The control group of a container, with all below it."""

    def sample(self) -> Sample:
        """Return what it shows now. OSError or ValueError where it does not."""
        ...


@dataclass(frozen=True, slots=True)
class Group2:
    """Of version 2, which has one hierarchy."""

    folder: Path

    def sample(self) -> Sample:
        """Return what it shows now."""
        used = int((self.folder / "memory.current").read_text())
        inactive = field((self.folder / "memory.stat").read_text(), "inactive_file")
        cpu = field((self.folder / "cpu.stat").read_text(), "usage_usec") / 1e6
        killed = field((self.folder / "memory.events").read_text(), "oom_kill")
        return Sample(time.monotonic(), working_set(used, inactive), cpu, killed)


@dataclass(frozen=True, slots=True)
class Group1:
    """Of version 1, which has a hierarchy for each controller."""

    memory: Path
    cpu: Path

    def sample(self) -> Sample:
        """Return what it shows now."""
        used = int((self.memory / "memory.usage_in_bytes").read_text())
        inactive = field((self.memory / "memory.stat").read_text(), "total_inactive_file")
        cpu = int((self.cpu / "cpuacct.usage").read_text()) / 1e9
        killed = field((self.memory / "memory.oom_control").read_text(), "oom_kill", missing=0)  # since Linux 4.13
        return Sample(time.monotonic(), working_set(used, inactive), cpu, killed)


def find(root: Path, membership: str, *, whole: bool) -> Group | None:
    """Return the group of this process; `root` is where groups are mounted, `membership` what MEMBERSHIP holds.

    A container mostly sees its own group as the root. A privileged one of version 2 sees that of the machine; what a
    container engine in it starts is not below its own group, and nothing is returned if the `whole` is wanted.
    """
    if (root / "cgroup.controllers").is_file():
        own = _own(root, own_path(membership, ""))
        return None if whole and own != root else Group2(own)
    memory, cpu = root / "memory", root / "cpuacct"
    own_memory, own_cpu = _own(memory, own_path(membership, "memory")), _own(cpu, own_path(membership, "cpuacct"))
    if not memory.is_dir() or not cpu.is_dir() or (whole and own_memory != memory):
        return None
    return Group1(own_memory, own_cpu)


def _own(root: Path, path: str) -> Path:
    """Return the folder of a group, which is the root where its path leads nowhere: to outside of the container."""
    below = root / path.lstrip("/")
    return below if below.is_dir() else root
