"""What waits to be sent: entries with the bytes they take in a message. Pure."""

from collections import deque

import msgspec
from estafette_common.bus.messages.logs import Entry

MOST_ENTRIES = 500
"""Entries of a chunk; what measured best to store and read."""

KEPT = 200
"""Bytes of memory that an entry takes beside its own."""

_ENCODER = msgspec.json.Encoder()


def size_of(entry: Entry) -> int:
    """Return how many bytes an entry takes in a chunk: more than its characters, for JSON escapes some."""
    return len(_ENCODER.encode(entry)) + 1


class Backlog:
    """Entries in the order they came. Those of a chunk have at most so many bytes, but a single one may have more."""

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: deque[tuple[Entry, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def memory(self) -> int:
        """Bytes of memory that all of it takes, about."""
        return self._bytes + KEPT * len(self._entries)

    @property
    def fills_a_chunk(self) -> bool:
        """Whether waiting for more makes no larger chunk."""
        return len(self._entries) >= MOST_ENTRIES or self._bytes >= self._most_bytes

    def add(self, entry: Entry, size: int) -> None:
        """Take an entry of that many bytes."""
        self._entries.append((entry, size))
        self._bytes += size

    def take(self) -> list[Entry]:
        """Return, and forget, the entries of the next chunk: at least one if there is any."""
        taken: list[Entry] = []
        room = self._most_bytes
        while self._entries and len(taken) < MOST_ENTRIES:
            entry, size = self._entries[0]
            if taken and size > room:
                break
            self._entries.popleft()
            self._bytes -= size
            room -= size
            taken.append(entry)
        return taken
