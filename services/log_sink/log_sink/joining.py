"""Joining the chunks of a log that ended. Pure."""

from collections.abc import Sequence

from estafette_common.bus.messages.logs import Entry, LogChunk

ENTRIES_OF_A_ROW = 20_000


def can_be_joined(numbers: Sequence[tuple[int, int]]) -> bool:
    """Return whether rows (first and last chunk number, in order) leave no gap from 1 on, and none was joined yet."""
    return list(numbers) == [(number, number) for number in range(1, len(numbers) + 1)]


def join(chunks: Sequence[LogChunk]) -> list[tuple[int, LogChunk]]:
    """Return the same entries in as few chunks as sensible, each with the number of the last chunk it holds.

    The chunks are as they were published: what was joined does not tell the number of its last one.
    """
    joined: list[tuple[int, LogChunk]] = []
    held: list[LogChunk] = []
    size = 0
    for chunk in chunks:
        if held and size + len(chunk.entries) > ENTRIES_OF_A_ROW:
            joined.append(_one(held))
            held, size = [], 0
        held.append(chunk)
        size += len(chunk.entries)
    return [*joined, _one(held)]


def _one(chunks: Sequence[LogChunk]) -> tuple[int, LogChunk]:
    first, last = chunks[0], chunks[-1]
    entries: list[Entry] = [entry for chunk in chunks for entry in chunk.entries]
    return last.number, LogChunk(
        kind=first.kind,
        job_id=first.job_id,
        attempt=first.attempt,
        number=first.number,
        first=first.first,
        entries=entries,
    )
