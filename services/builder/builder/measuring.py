"""Seeing what a job takes while it runs."""

import asyncio
from pathlib import Path

import structlog
from estafette_common.jobs.usage import Usage

from builder import cgroups
from builder.cgroups import Group
from builder.peaks import Peaks

log = structlog.get_logger()

EVERY = 1.0
"""Seconds between two samples, each of a few small files."""


class Meter:
    """Measures a control group, or nothing at all where there is none to measure."""

    def __init__(self, group: Group | None) -> None:
        self._group = group
        self._peaks = Peaks()

    async def run(self) -> None:
        """Take samples, until cancelled."""
        while self._group is not None:
            self._look(self._group)
            await asyncio.sleep(EVERY)

    def usage(self) -> Usage | None:
        """Return the most that was taken until now; nothing where that is not known."""
        if self._group is not None:
            self._look(self._group)
        return self._peaks.usage() if self._group is not None else None

    def _look(self, group: Group) -> None:
        try:
            self._peaks.add(group.sample())
        except (OSError, ValueError) as error:
            log.warning("cannot measure what the job takes", error=str(error))
            self._group = None


def meter(root: Path | None, *, engine: bool) -> Meter:
    """Return what measures the container of a job, given where its control groups are; nothing without.

    `engine` is whether containers that are started inside it have to be among what is measured.
    """
    if root is None:
        return Meter(None)
    try:
        membership = cgroups.MEMBERSHIP.read_text()
    except OSError:
        return Meter(None)
    return Meter(cgroups.find(root, membership, whole=engine))
