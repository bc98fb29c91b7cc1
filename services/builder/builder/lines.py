"""From the bytes that a stage prints to lines. Pure."""

LONGEST = 1024 * 1024
"""Bytes of a line; a longer one is split."""


class Lines:
    """Splits one stream. A last line without an end is given by `rest`."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that these bytes complete, without their ends; what is not UTF-8 is replaced."""
        *whole, self._buffer = (self._buffer + data).split(b"\n")
        lines = [piece for line in whole for piece in _pieces(line)]
        while len(self._buffer) > LONGEST:
            lines.append(_text(self._buffer[:LONGEST]))
            self._buffer = self._buffer[LONGEST:]
        return lines

    def rest(self) -> list[str]:
        """Return what was printed without a line end."""
        last, self._buffer = self._buffer, b""
        return _pieces(last) if last else []


def _pieces(line: bytes) -> list[str]:
    line = line.removesuffix(b"\r")
    return [_text(line[start : start + LONGEST]) for start in range(0, len(line), LONGEST)] or [""]


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")
