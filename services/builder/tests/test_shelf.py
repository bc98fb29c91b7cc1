"""Which workspaces of failed jobs are kept."""

import os
from pathlib import Path
from time import time

from builder.shelf import Shelf

HOUR = 3600.0
BLOCK = 64 * 1024


def leave(root: Path, name: str) -> Path:
    """Make the folder of a job that failed, with one block in its workspace."""
    workspace = root / name / "workspace"
    workspace.mkdir(parents=True)
    (workspace / "artifact").write_bytes(os.urandom(BLOCK))
    return root / name


def kept(root: Path) -> set[str]:
    return {path.name for path in (root / "shelf").iterdir()} if (root / "shelf").exists() else set()


def age(root: Path, name: str, seconds: float) -> None:
    os.utime(root / "shelf" / name, (time() - seconds, time() - seconds))


def test_a_workspace_is_kept_for_some_time(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", seconds=HOUR, most_bytes=10 * BLOCK)
    for name, seconds in (("young", HOUR / 2), ("old", HOUR * 2)):
        shelf.put(leave(tmp_path, name))
        age(tmp_path, name, seconds)

    shelf.tidy()

    assert kept(tmp_path) == {"young"}


def test_the_oldest_go_first_where_all_take_too_much(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", seconds=HOUR, most_bytes=2 * BLOCK + BLOCK // 2)
    for number in (1, 2, 3):
        shelf.put(leave(tmp_path, str(number)))
        age(tmp_path, str(number), 60.0 * number)

    shelf.tidy()

    assert kept(tmp_path) == {"1", "2"}


def test_one_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", seconds=HOUR, most_bytes=BLOCK // 2)

    shelf.put(leave(tmp_path, "large"))

    assert kept(tmp_path) == set()
    assert (tmp_path / "large").exists()


def test_nothing_stays_of_one_that_was_taken(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", seconds=HOUR, most_bytes=10 * BLOCK)
    shelf.put(leave(tmp_path, "taken"))
    (shelf.path("taken") / "workspace").rename(tmp_path / "workspace")

    shelf.tidy()

    assert kept(tmp_path) == set()
