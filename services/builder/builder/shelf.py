"""Workspaces of jobs that failed, kept after their jobs for rebuilds that go on in them."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from time import time

SIZE = "bytes"
"""The file with how much a workspace takes."""

WORKSPACE = "workspace"


class Shelf:
    """A folder with a folder for each workspace. Old ones go first where they would take too much."""

    def __init__(self, root: Path, *, seconds: float, most_bytes: int) -> None:
        self._root = root
        self._seconds = seconds
        self._most_bytes = most_bytes

    def path(self, name: str) -> Path:
        """Return where what is left of a job is, or would be."""
        return self._root / name

    def put(self, path: Path) -> None:
        """Take what is left of a job from its folder, unless that is too much; then nothing is left there."""
        size = _size(path / WORKSPACE)
        if size > self._most_bytes or self._seconds <= 0:
            return
        (path / SIZE).write_text(str(size))
        self._root.mkdir(exist_ok=True)
        shutil.rmtree(self.path(path.name), ignore_errors=True)
        path.rename(self.path(path.name))
        os.utime(self.path(path.name))  # it is as old as it is here

    def tidy(self) -> None:
        """Remove what is too old or was taken, and the oldest as long as all together is too much."""
        left = self._most_bytes
        for path in sorted(self._all(), key=lambda each: -_since(each)):
            size = (path / SIZE).read_text() if (path / SIZE).exists() else ""
            left -= int(size or 0)
            if not size or left < 0 or time() - _since(path) > self._seconds or not (path / WORKSPACE).exists():
                shutil.rmtree(path, ignore_errors=True)

    def _all(self) -> list[Path]:
        return [path for path in self._root.iterdir() if path.is_dir()] if self._root.exists() else []


def _since(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process removes it
        return 0.0


def _size(path: Path) -> int:
    """Return the bytes of disk that all files in a folder take."""
    size = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(FileNotFoundError):
                size += os.lstat(Path(folder) / name).st_blocks * 512
    return size
