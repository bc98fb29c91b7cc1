"""Clones that nobody used for long go away, and the oldest of those that take too much room."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import structlog
from estafette_common.service import Background

log = structlog.get_logger()

EVERY = 60 * 60.0
"""Seconds between two looks."""

GOING = ".going-"
"""Begins the name of a clone while it is removed, so that nobody finds half of one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clones may take."""

    unused: float
    """Seconds since one was used."""
    room: int
    """Bytes of all."""


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone as it lies on disk."""

    path: Path
    used_at: float
    """Seconds since 1970."""
    size: int
    """Bytes"""


class Tidying(Background):
    """A part of the service: looks through the folder of clones, now and then."""

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self._folder = folder
        self._bounds = bounds

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.to_thread(tidy, self._folder, self._bounds, now=time.time())
            except OSError as error:
                log.warning("clones not tidied", error=repr(error))
            await asyncio.sleep(EVERY)


def tidy(folder: Path, bounds: Bounds, *, now: float) -> None:
    """Remove what is not to be kept. Whoever reads one of them meanwhile is told to try again, and clones anew."""
    for half in folder.glob(f"{GOING}*"):  # a crash left it
        shutil.rmtree(half, ignore_errors=True)
    for clone in unwanted(list(_clones(folder)), bounds, now=now):
        going = folder / f"{GOING}{uuid4()}"
        with suppress(FileNotFoundError):  # another replica that shares the folder was faster
            clone.path.rename(going)
            log.info("clone removed", clone=clone.path.name, bytes=clone.size)
        shutil.rmtree(going, ignore_errors=True)


def unwanted(clones: list[Clone], bounds: Bounds, *, now: float) -> list[Clone]:
    """Return the clones that were not used for too long, or were used before those that fill the room."""
    room, found = bounds.room, []
    for clone in sorted(clones, key=lambda each: each.used_at, reverse=True):
        room -= clone.size
        if room < 0 or now - clone.used_at > bounds.unused:
            found.append(clone)
    return found


def _clones(folder: Path) -> Iterator[Clone]:
    """Yield what is a clone; whatever else is there belongs to others."""
    for head in folder.glob("*/HEAD"):
        path = head.parent
        with suppress(FileNotFoundError):
            used_at = path.stat().st_mtime
            yield Clone(path, used_at, sum(each.lstat().st_size for each in path.rglob("*")))
