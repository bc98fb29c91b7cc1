"""What waits to be sent: entries with their sizes. Pure."""

from collections import deque
from collections.abc import Sequence

import msgspec
from estafette_common.bus.messages.logs import Entry

MOST_ENTRIES = 500
"""Entries of a chunk; what measured best to store and read."""

KEPT = 200
"""Bytes of memory that an entry takes beside its own."""

_ENCODER = msgspec.json.Encoder()


def size_of(entry: Entry | str) -> int:
    """Return how many bytes an entry or a text takes in a chunk: more than its characters, for JSON escapes some."""
    return len(_ENCODER.encode(entry)) + 1


class Backlog:
    """Entries in the order they came. Those of a chunk have at most such a size in all, but a single one may have more.

    A size is what the sender makes of it: about the characters of an entry.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._entries: deque[Entry] = deque()
        self._sizes: deque[int] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def memory(self) -> int:
        """Bytes of memory that all of it takes, about."""
        return self._size + KEPT * len(self._entries)

    @property
    def fills_a_chunk(self) -> bool:
        """Whether waiting for more makes no larger chunk."""
        return len(self._entries) >= MOST_ENTRIES or self._size >= self._most

    def add(self, entries: Sequence[Entry], sizes: Sequence[int]) -> None:
        """Take entries of those sizes."""
        self._entries.extend(entries)
        self._sizes.extend(sizes)
        self._size += sum(sizes)

    def take(self) -> list[Entry]:
        """Return, and forget, the entries of the next chunk: at least one if there is any."""
        count, room = 0, self._most
        for size in self._sizes:
            room -= size
            if count == MOST_ENTRIES or (count and room < 0):
                break
            count += 1
        self._size -= sum(self._sizes.popleft() for _ in range(count))
        return [self._entries.popleft() for _ in range(count)]
