"""Packs, as git makes them and as nobody should."""

import subprocess
import zlib
from pathlib import Path

import pytest
from estafette_local.people import GitRepository
from hypothesis import given
from hypothesis import strategies as st
from manifest_planner import packets, packs
from manifest_planner.packets import GitError
from manifest_planner.packs import file_at

LINES = [f"line {number} of a file that is long enough to be told by its difference" for number in range(200)]


def pack(repository: GitRepository, revision: str, *options: str) -> bytes:
    """Return all of a revision as git packs it."""
    command = ["git", "-C", str(repository.path), "pack-objects", "--revs", "--stdout", "--quiet", *options]
    return subprocess.run(command, input=f"{revision}\n".encode(), capture_output=True, check=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return GitRepository(tmp_path, "acme", "shop")


@pytest.mark.parametrize("options", [(), ("--delta-base-offset",), ("--window=0",)], ids=["name", "place", "whole"])
def test_files_are_read_that_are_told_by_their_difference(repository: GitRepository, options: tuple[str, ...]) -> None:
    older = repository.commit({"manifest": "\n".join(LINES)})
    newer = repository.commit({"manifest": "\n".join([*LINES[:90], "another", *LINES[120:]])})
    whole = pack(repository, newer, *options)

    assert file_at(whole, older, "manifest") == "\n".join(LINES).encode()
    assert file_at(whole, newer, "manifest") == "\n".join([*LINES[:90], "another", *LINES[120:]]).encode()
    assert file_at(whole, newer, "none") is None


def test_a_folder_of_the_name_is_no_file(repository: GitRepository) -> None:
    revision = repository.commit({"manifest/file": "x"})

    with pytest.raises(GitError, match="no file"):
        file_at(pack(repository, revision), revision, "manifest")


def test_another_revision_than_the_wanted_one_is_an_error(repository: GitRepository) -> None:
    revision = repository.commit({"manifest": "x"})

    with pytest.raises(GitError, match="not sent"):
        file_at(pack(repository, revision), "a" * 40, "manifest")


@pytest.mark.parametrize("size", [packs.MOST + 1, 1000])
def test_what_would_become_too_large_is_not_inflated(size: int) -> None:
    content = bytes(packs.MOST + 1)
    header = bytearray([0x30 | size & 15])
    rest = size >> 4
    while rest:
        header[-1] |= 128
        header.append(rest & 127)
        rest >>= 7

    with pytest.raises(GitError):
        packs.objects(b"PACK\0\0\0\2\0\0\0\1" + bytes(header) + zlib.compress(content))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_pack_or_an_error_of_its_own(data: bytes) -> None:
    for read in (packs.objects, packets.pack_of, packets.capabilities):
        for given_bytes in (data, b"PACK\0\0\0\2\0\0\0\1" + data):
            try:
                read(given_bytes)
            except GitError:
                continue


def test_what_a_server_says_against_it_is_told() -> None:
    with pytest.raises(GitError, match="upload-pack: not our ref"):
        packets.pack_of(packets.packet("ERR upload-pack: not our ref"))


def test_a_server_of_an_older_protocol_is_able_to_nothing() -> None:
    refs = packets.packet("# service=git-upload-pack") + packets.FLUSH + packets.packet(f"{'a' * 40} refs/heads/main")

    assert packets.capabilities(refs) == {}
