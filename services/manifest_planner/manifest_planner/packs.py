"""A file of a revision, out of a pack of objects that a git server sent: gitformat-pack(5). Pure.

Only packs that are whole in themselves, and names by SHA-1. Reading is bounded: whoever may push decides what a
pack holds, and a small one can become large.
"""

import zlib
from collections.abc import Iterator, Mapping
from hashlib import sha1

from manifest_planner.packets import GitError

KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
OFFSET_DELTA, REFERENCE_DELTA = 6, 7

MOST = 32 * 1024 * 1024
"""Bytes of all objects of a pack."""

STEP = 4096
"""Bytes that are inflated at once: where an object ends is only seen when it has ended."""

FILE = b"100"
"""Begins the mode of a file; others are folders, links and modules."""

Objects = Mapping[tuple[str, str], bytes]
"""What objects hold, by kind and name."""


def file_at(pack: bytes, revision: str, name: str) -> bytes | None:
    """Return a file in the root of a revision, or nothing when there is none. GitError when it was not sent."""
    found = objects(pack)
    first_line = _sent(found, "commit", revision).partition(b"\n")[0]
    tree = _sent(found, "tree", first_line.decode(errors="replace").removeprefix("tree "))
    for mode, called, entry in entries(tree):
        if called == name.encode():
            if not mode.startswith(FILE):
                raise GitError(f"{name} is no file")
            return _sent(found, "blob", entry)
    return None


def objects(pack: bytes) -> Objects:
    """Return the objects of a pack. Raises GitError."""
    if pack[:8] != b"PACK\0\0\0\2":
        raise GitError("no pack of version 2")
    try:
        return _Reader(memoryview(pack)).objects(count=int.from_bytes(pack[8:12]))
    except (IndexError, zlib.error) as error:
        raise GitError(f"a broken pack: {error!r}") from error


def _sent(found: Objects, kind: str, name: str) -> bytes:
    if (kind, name) not in found:
        raise GitError(f"{kind} {name} was not sent")
    return found[kind, name]


def entries(tree: bytes) -> Iterator[tuple[bytes, bytes, str]]:
    """Yield mode, name and object of what a folder has."""
    position = 0
    while (end := tree.find(b"\0", position)) >= 0:
        mode, _, name = tree[position:end].partition(b" ")
        yield mode, name, tree[end + 1 : end + 21].hex()
        position = end + 21


class _Reader:
    """Reads a pack from its first object to its last."""

    def __init__(self, pack: memoryview) -> None:
        self._pack = pack
        self._found: dict[tuple[str, str], bytes] = {}
        self._by_place: dict[int, tuple[str, bytes]] = {}
        self._by_name: dict[bytes, tuple[str, bytes]] = {}
        self._room = MOST

    def objects(self, *, count: int) -> Objects:
        position = 12
        for _ in range(count):
            position = self._object(position)
        return self._found

    def _object(self, begin: int) -> int:
        """Read the object that begins there; return where the next one does."""
        number, size, position = self._header(begin)
        if kind := KINDS.get(number):
            content, position = self._inflate(position, size)
        else:
            (kind, base), position = self._base(number, begin, position)
            delta, position = self._inflate(position, size)
            content = self._patched(base, delta)
        self._keep(begin, kind, content)
        return position

    def _header(self, position: int) -> tuple[int, int, int]:
        """Return the number of an object's kind, its size, and where the rest of it begins."""
        byte = self._pack[position]
        number, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 128:
            position += 1
            byte = self._pack[position]
            size |= (byte & 127) << shift
            shift += 7
        return number, size, position + 1

    def _base(self, number: int, begin: int, position: int) -> tuple[tuple[str, bytes], int]:
        """Return what an object is told by its difference to, and where that difference begins."""
        if number == REFERENCE_DELTA:
            base = self._by_name.get(bytes(self._pack[position : position + 20]))
            position += 20
        elif number == OFFSET_DELTA:
            distance, position = self._distance(position)
            base = self._by_place.get(begin - distance)
        else:
            raise GitError(f"an object of kind {number}")
        if base is None:
            raise GitError("an object is told by its difference to one that was not sent before")
        return base, position

    def _distance(self, position: int) -> tuple[int, int]:
        byte = self._pack[position]
        distance = byte & 127
        while byte & 128:
            position += 1
            byte = self._pack[position]
            distance = (distance + 1) << 7 | byte & 127
        return distance, position + 1

    def _inflate(self, position: int, size: int) -> tuple[bytes, int]:
        """Return so many bytes, and what follows them."""
        self._take(size)
        stream, parts, left = zlib.decompressobj(), [], size
        while not stream.eof and position < len(self._pack):
            step = self._pack[position : position + STEP]
            part = stream.decompress(step, left + 1)  # 0 would stand for no limit
            parts.append(part)
            left -= len(part)
            if left < 0:
                break
            position += len(step) - len(stream.unused_data or stream.unconsumed_tail)
        if left or not stream.eof:
            raise GitError("an object is not as long as it says")
        return b"".join(parts), position

    def _patched(self, base: bytes, delta: bytes) -> bytes:
        """Return what a difference makes of an object."""
        _, position = _size(delta, 0)
        size, position = _size(delta, position)
        self._take(size)
        parts, left = [], size
        while position < len(delta) and left > 0:
            part, position = _part(base, delta, position)
            parts.append(part)
            left -= len(part)
        if left:
            raise GitError("a difference does not fit")
        return b"".join(parts)

    def _keep(self, begin: int, kind: str, content: bytes) -> None:
        name = sha1(f"{kind} {len(content)}\0".encode(), usedforsecurity=False)
        name.update(content)
        self._found[kind, name.hexdigest()] = content
        self._by_place[begin] = self._by_name[name.digest()] = (kind, content)

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise GitError(f"objects of more than {MOST} bytes")


def _size(delta: bytes, position: int) -> tuple[int, int]:
    """Return a size that a difference tells, and what follows it."""
    size = shift = 0
    while True:
        byte = delta[position]
        position += 1
        size |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return size, position


def _part(base: bytes, delta: bytes, position: int) -> tuple[bytes, int]:
    """Return the next part of an object: a piece of the base, or what the difference holds itself."""
    command = delta[position]
    position += 1
    if not command & 128:
        return delta[position : position + command], position + command
    numbers = [0, 0]
    for bit in range(7):  # four bytes of where it begins, three of how long it is, those that are not zero
        if command >> bit & 1:
            numbers[bit // 4] |= delta[position] << 8 * (bit % 4)
            position += 1
    begin, length = numbers
    return base[begin : begin + (length or 0x10000)], position
