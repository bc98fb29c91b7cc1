"""The order of a live log: chunks come from the database and from the stream in any order. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from estafette_common.bus.messages.logs import CONTROL_ATTEMPT, End, Entry, LogChunk


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The place of an entry in the log of a job: the control plane's attempt comes last."""

    last: bool
    attempt: int
    entry: int

    @classmethod
    def of(cls, attempt: int, entry: int) -> "Position":
        """Return the position of an entry of an attempt."""
        return cls(attempt == CONTROL_ATTEMPT, attempt, entry)

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that an event id names; the very beginning when it names none."""
        attempt, _, entry = text.partition("-")
        if _is_number(attempt) and _is_number(entry):
            return cls.of(int(attempt), int(entry))
        return BEGINNING

    def __str__(self) -> str:
        """Return the position as the id of an event."""
        return f"{self.attempt}-{self.entry}"


BEGINNING = Position(last=False, attempt=0, entry=0)

LONGEST_NUMBER = 18
"""Digits of an attempt or an entry, beyond which a text names none."""


class Ordering:
    """Takes chunks as they come and gives their entries once each and in order, holding back what has to wait."""

    def __init__(self, position: Position) -> None:
        self.position = position
        """Of the last entry that was given."""
        self.ended = False
        """Whether the last entry that was given was an end."""
        self._held: dict[Position, LogChunk] = {}

    @property
    def waits(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def add(self, chunk: LogChunk) -> None:
        """Take a chunk; one that was given or is held already changes nothing."""
        if Position.of(chunk.attempt, chunk.first + len(chunk.entries) - 1) > self.position:
            self._held[Position.of(chunk.attempt, chunk.first)] = chunk

    def follow(self) -> Iterator[tuple[Position, Entry]]:
        """Give every entry that follows without a gap, the control plane's once the attempt before has ended."""
        while self._held and self._follows(min(self._held)):
            yield from self._open(min(self._held))

    def skip(self) -> Iterator[tuple[Position, Entry]]:
        """Give what is held though something before it is missing, for that will not come any more."""
        if self._held:
            yield from self._open(min(self._held))
            yield from self.follow()

    def _follows(self, start: Position) -> bool:
        if (start.last, start.attempt) == (self.position.last, self.position.attempt):
            return start.entry <= self.position.entry + 1
        return start.entry == 1 and (self.ended or not start.last)

    def _open(self, start: Position) -> Iterator[tuple[Position, Entry]]:
        chunk = self._held.pop(start)
        for number, entry in enumerate(chunk.entries, start=chunk.first):
            position = Position.of(chunk.attempt, number)
            if position > self.position:
                self.position = position
                self.ended = isinstance(entry, End)
                yield position, entry


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER
