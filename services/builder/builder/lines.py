"""From the bytes that a stage prints to lines without secrets. Pure."""

from builder.masking import Masker

LONGEST = 256 * 1024
"""Bytes of a line; a longer one is split."""

SHOW_EVERY = 5.0
"""Seconds after which a line that is drawn over and over shows its state, though it has not ended."""


class Lines:
    """Splits one stream, and no secret or character in two. A last line without an end is given by `rest`.

    Of a line that is drawn over and over, with carriage returns as progress bars do, the last state stays.
    """

    def __init__(self, masker: Masker) -> None:
        self._hide = masker.hide
        self._cut = masker.cut
        self._enough = LONGEST + masker.longest
        self._begun: list[bytes] = []
        """What was printed since the last line end."""
        self._size = 0
        """Of that, in bytes."""
        self._show_at: float | None = None
        """When a line that is drawn over is to show its state."""

    def feed(self, data: bytes, *, now: float) -> list[str]:
        """Return the lines that these bytes complete, without their ends; what is not UTF-8 is replaced.

        `now` is of any clock, in seconds.
        """
        end = data.rfind(b"\n") + 1
        if not end:
            return self._go_on(data, now)
        self._begun.append(data[:end])
        lines = self._clean(self._take())
        self._show_at = None
        return lines + self._go_on(data[end:], now)

    def rest(self) -> list[str]:
        """Return what was printed without a line end."""
        return self._clean(self._take() + b"\n") if self._size else []

    def _take(self) -> bytes:
        taken, self._begun, self._size = b"".join(self._begun), [], 0
        return taken

    def _go_on(self, data: bytes, now: float) -> list[str]:
        """Add to the line that has no end yet; return what of it cannot wait."""
        self._begun.append(data)
        self._size += len(data)
        shown = self._fold_begun(now) if b"\r" in data else []
        if self._size > self._enough:
            *pieces, last = self._pieces(_last_state(self._take()), most=self._enough)
            self._begun, self._size = [last], len(last)
            shown += self._clean(b"\n".join(pieces) + b"\n")
        return shown

    def _fold_begun(self, now: float) -> list[str]:
        """Keep the last whole state of a line that is drawn over, and what follows it; return it now and then."""
        states, _, after = self._take().rpartition(b"\r")
        state = _last_state(states)
        self._begun = [state, b"\r", after]
        self._size = len(state) + 1 + len(after)
        self._show_at = now + SHOW_EVERY if self._show_at is None else self._show_at
        if now < self._show_at or not state:
            return []
        self._show_at = now + SHOW_EVERY
        return self._clean(state + b"\n")

    def _clean(self, block: bytes) -> list[str]:
        """Return the lines of a block, which ends with a line end."""
        if b"\r" in block:
            block = b"\n".join(map(_last_state, block.split(b"\n")))
        if len(block) > LONGEST:
            block = b"\n".join(piece for line in block.split(b"\n") for piece in self._pieces(line, most=LONGEST))
        return self._hide(block[:-1]).decode(errors="replace").split("\n")

    def _pieces(self, line: bytes, *, most: int) -> list[bytes]:
        """Return a line in parts, the last of at most so many bytes."""
        pieces = []
        while len(line) > most:
            at = self._cut(line, LONGEST)
            pieces.append(line[:at])
            line = line[at:]
        return [*pieces, line]


def _last_state(line: bytes) -> bytes:
    r"""Return what a terminal shows last of a line: `10%\r20%\r` is `20%`."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]
