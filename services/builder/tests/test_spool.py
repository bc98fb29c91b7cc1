import os
from collections import deque
from pathlib import Path

import pytest
from builder.spool import Spool
from hypothesis import given
from hypothesis import strategies as st


def on_disk(folder: Path) -> int:
    """Return the bytes of files in a folder that this process holds open, though they have no name any more."""
    found = 0
    for handle in Path("/proc/self/fd").iterdir():
        try:
            if os.readlink(handle).startswith(str(folder)):
                found += handle.stat().st_size
        except OSError:
            continue  # closed meanwhile
    return found


@given(steps=st.lists(st.one_of(st.binary(max_size=40), st.none()), max_size=60))
def test_what_was_put_first_comes_first(steps: list[bytes | None], tmp_path_factory: pytest.TempPathFactory) -> None:
    spool, expected = Spool(tmp_path_factory.getbasetemp(), most_bytes=100), deque[bytes]()
    for step in steps:
        if step is None and expected:
            assert spool.take() == expected.popleft()
        elif step is not None and spool.put(step):
            expected.append(step)
        assert bool(spool) == bool(expected)
    assert [spool.take() for _ in range(len(expected))] == list(expected)
    spool.close()


def test_it_takes_no_more_than_it_may_and_takes_again_once_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, most_bytes=1000)
    count = 0
    while spool.put(b"x" * 96):
        count += 1

    assert count == 10
    assert on_disk(tmp_path) == 1000
    spool.take()
    assert spool.put(b"y" * 96)
    assert on_disk(tmp_path) == 1000


def test_the_disk_is_given_back_once_it_is_empty(tmp_path: Path) -> None:
    spool = Spool(tmp_path, most_bytes=1000)
    spool.put(b"x" * 500)
    spool.take()

    assert on_disk(tmp_path) == 0


def test_nobody_sees_its_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path, most_bytes=1000)
    spool.put(b"x" * 500)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_has_no_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "missing", most_bytes=1000)

    assert not spool.put(b"x")
    assert not spool
    with pytest.raises(IndexError):
        spool.take()
