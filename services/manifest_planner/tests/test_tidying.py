"""Which clones are kept."""

import os
from pathlib import Path

from manifest_planner.tidying import GOING, Bounds, tidy

NOW = 1_800_000_000.0
DAY = 24 * 60 * 60.0
ROOM = 10_000


def clone(folder: Path, name: str, *, used: float, size: int = 100) -> None:
    """Make what looks like a clone, used so many days ago."""
    path = folder / name
    path.mkdir()
    (path / "HEAD").write_text("ref: refs/heads/main")
    (path / "objects").write_bytes(bytes(size))
    os.utime(path, (NOW, NOW - used * DAY))


def left(folder: Path, *, days: float = 7) -> list[str]:
    """Return what is left after tidying."""
    tidy(folder, Bounds(unused=days * DAY, room=ROOM), now=NOW)
    return sorted(path.name for path in folder.iterdir())


def test_what_nobody_used_for_long_goes(tmp_path: Path) -> None:
    clone(tmp_path, "old", used=8)
    clone(tmp_path, "new", used=6)

    assert left(tmp_path) == ["new"]


def test_beyond_the_room_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    for days in range(4):
        clone(tmp_path, f"used-{days}", used=days, size=4_000)

    assert left(tmp_path) == ["used-0", "used-1"]


def test_what_a_crash_left_half_removed_goes(tmp_path: Path) -> None:
    clone(tmp_path, f"{GOING}half", used=0)

    assert left(tmp_path) == []


def test_what_is_no_clone_stays(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    os.utime(tmp_path / "others", (0, 0))

    assert left(tmp_path) == ["others"]


def test_without_a_folder_there_is_nothing_to_do(tmp_path: Path) -> None:
    tidy(tmp_path / "cache", Bounds(unused=DAY, room=ROOM), now=NOW)
