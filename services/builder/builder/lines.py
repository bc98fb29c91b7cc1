"""From the bytes that a stage prints to lines. Pure."""

import codecs

from builder.masking import Masker

LONGEST = 256 * 1024
"""Characters of a line; a longer one is split."""


class Lines:
    """Splits one stream, and no secret in two. A last line without an end is given by `rest`."""

    def __init__(self, masker: Masker) -> None:
        self._cut = masker.cut
        self._enough = LONGEST + masker.longest
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that these bytes complete, without their ends; what is not UTF-8 is replaced."""
        *whole, self._begun = (self._begun + self._decoder.decode(data)).split("\n")
        lines: list[str] = []
        for line in whole:
            lines += self._pieces(line.removesuffix("\r"), most=LONGEST)
        if len(self._begun) > self._enough:
            *pieces, self._begun = self._pieces(self._begun, most=self._enough)
            lines += pieces
        return lines

    def rest(self) -> list[str]:
        """Return what was printed without a line end."""
        last, self._begun = self._begun + self._decoder.decode(b"", final=True), ""
        return self._pieces(last.removesuffix("\r"), most=LONGEST) if last else []

    def _pieces(self, line: str, *, most: int) -> list[str]:
        """Return a line in parts, the last of at most so many characters."""
        pieces = []
        while len(line) > most:
            at = self._cut(line, LONGEST)
            pieces.append(line[:at])
            line = line[at:]
        return [*pieces, line]
