"""What the system takes while nothing happens: processor and memory of every process.

`make bench-idle`. One replica of each service on real servers; nobody pushes, and nobody watches.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from estafette_local.environment import Options
from estafette_local.stack import Stack

MOST = 5.0
"""Percent of one core, all processes together."""

SETTLES = 20.0
"""Seconds until what is done once after a start is done."""


def tree(pid: int) -> Iterator[int]:
    """Give a process and all that came of it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from tree(int(child))


def busy(pid: int) -> float:
    """Return the seconds that a process had a processor (proc(5), schedstat)."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def memory(pid: int) -> float:
    """Return the megabytes of a process, its part of what it shares (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def taken(pids: list[int]) -> tuple[float, float]:
    """Return the seconds and the megabytes of processes. Some of PostgreSQL's come and go; those count as nothing."""
    found = [(busy(pid), memory(pid)) for pid in pids if Path(f"/proc/{pid}").exists()]
    return sum(seconds for seconds, _ in found), sum(megabytes for _, megabytes in found)


def measure(stack: Stack, seconds: float) -> dict[str, tuple[float, float]]:
    """Return by service the percent of one core, and megabytes."""
    services = {service: stack.pids(service) for service in sorted({service for service, _ in stack.processes})}
    processes = {service: [each for pid in pids for each in tree(pid)] for service, pids in services.items()}
    before = {service: taken(pids) for service, pids in processes.items()}
    began = time.monotonic()
    time.sleep(seconds)
    after = {service: taken(pids) for service, pids in processes.items()}
    took = time.monotonic() - began
    return {service: ((after[service][0] - before[service][0]) / took * 100, after[service][1]) for service in services}


def main() -> int:
    """Measure, print the table, and return whether the limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    data = Path(tempfile.mkdtemp(prefix="estafette-bench-"))
    data.chmod(0o755)
    try:
        with Stack(data, Options(stage_runtime="process")) as stack:
            time.sleep(SETTLES)
            found = measure(stack, seconds)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    print(f"| nothing happens for {seconds:.0f} s, {os.cpu_count()} cores | % of a core | MB |")
    print("|---|---|---|")
    for service, (percent, megabytes) in sorted(found.items(), key=lambda each: -each[1][0]):
        print(f"| {service} | {percent:.2f} | {megabytes:.0f} |")
    percent = sum(each for each, _ in found.values())
    print(f"| together | {percent:.2f} | {sum(each for _, each in found.values()):.0f} |")
    print(f"\nAt most: {MOST:.0f} % of a core.")
    return int(percent > MOST)


if __name__ == "__main__":
    sys.exit(main())
