"""A job's log in a terminal, or in a file: stages, their lines as they come, durations, a table at the end."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from estafette_common.bus.messages.logs import Change, Entry, Image, Line, LogChunk
from estafette_common.bus.messages.message import Encoded, Message
from estafette_common.jobs.lifecycle import StageStatus

from builder.places import Place

ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
"""A control sequence or an operating system command (ECMA-48), or a two-letter escape."""

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
"""The sequences that change colours and nothing else (SGR)."""

RESET = "\x1b[0m"

CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}

ENDS = {
    StageStatus.SUCCEEDED: ("✔", "green"),
    StageStatus.FAILED: ("✘", "red"),
    StageStatus.CANCELED: ("■", "yellow"),
    StageStatus.SKIPPED: ("·", "dim"),
}
"""Sign and style of each status that ends a stage."""


class Ink:
    """Colours texts, if the terminal shows colours."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, text: str, *styles: str) -> str:
        """Return our own text in these styles."""
        if not self._colour or not styles or not text:
            return text
        return f"\x1b[{';'.join(str(CODES[style]) for style in styles)}m{text}{RESET}"

    def foreign(self, text: str, *styles: str) -> str:
        """Return a line of a stage: nothing in it moves the cursor, and no colour of it goes on after its end."""
        if not self._colour:
            return ESCAPE.sub("", text)
        kept = ESCAPE.sub(lambda found: found[0] if COLOUR.fullmatch(found[0]) else "", text)
        return self(kept, *styles) if styles else f"{kept}{RESET}" if "\x1b" in kept else kept


class Terminal:
    """Takes chunks of a job's log, as a `Publisher` does, and prints them. Tell it all that is to be printed."""

    def __init__(self, file: TextIO, ink: Ink) -> None:
        self._file = file
        self.ink = ink
        self._begun: set[Place] = set()
        self._last: dict[tuple[str, str, bool], Change] = {}
        """How each stage and service stands, in the order in which they were told of."""

    async def publish(
        self,
        message: Message | Encoded | LogChunk,
        *,
        id: str,  # noqa: ARG002  what is printed has none
        after: int | None = None,  # noqa: ARG002  chunks come in order
    ) -> None:
        """Print the entries of a chunk, without holding up the job; what else there is to tell is for nobody here."""
        if isinstance(message, LogChunk):
            lines = [line for entry in message.entries for line in self._shown(entry)]
            if lines:
                await asyncio.to_thread(self.say, *lines)

    def say(self, *lines: str) -> None:
        """Print lines at once."""
        self._file.write("".join(f"{line}\n" for line in lines))
        self._file.flush()

    def summary(self) -> list[str]:
        """Return a table of all stages and services of the manifest: status, duration, image."""
        changes = [change for change in self._last.values() if not change.auto_injected]
        if not changes:
            return []
        rows = [
            (_indented(change), change.status.lower(), _duration_of(change), _reference(change.image))
            for change in changes
        ]
        styles = [ENDS.get(StageStatus(change.status), ("", ""))[1] for change in changes]
        return ["", *table(self.ink, ("stage", "status", "duration", "image"), rows, styles)]

    def _shown(self, entry: Entry) -> Iterator[str]:
        match entry:
            case Line():
                yield from self._header(_place(entry), None)
                yield self._line(entry)
            case Change():
                self._last[entry.parent, entry.stage, entry.service] = entry
                if entry.status == StageStatus.RUNNING:
                    yield from self._header(_place(entry), entry.image)
                elif entry.status in ENDS:
                    yield self._end(entry)

    def _header(self, place: Place, image: Image | None) -> Iterator[str]:
        if place in self._begun:
            return
        self._begun.add(place)
        again = f" (try {place.run + 1})" if place.run else ""
        beside = self.ink(f"  {_reference(image)}", "dim") if image is not None else ""
        yield self.ink(f"▶ {_name(place)}{again}", "bold", "cyan") + beside

    def _line(self, line: Line) -> str:
        who = f"{line.stage} " if line.parent else ""
        style = ("yellow",) if line.stream == "stderr" else ()
        return f"{self.ink(f'  {who}│', 'dim')} {self.ink.foreign(line.text, *style)}"

    def _end(self, change: Change) -> str:
        sign, style = ENDS[StageStatus(change.status)]
        took = _duration_of(change)
        how = f"{change.status.lower()} in {took}" if took else change.status.lower()
        return self.ink(f"{sign} {_name(_place(change))} {how}", style)


def table(
    ink: Ink, head: Sequence[str], rows: Iterable[Sequence[str]], styles: Sequence[str], *, styled: int = 1
) -> list[str]:
    """Return the lines of a table, column below column; the column `styled` of each row is in its style."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str], **styles_of: str) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        padded[-1] = cells[-1]
        if style := styles_of.get("cell"):
            padded[styled] = ink(padded[styled], style)
        return "  ".join(padded).rstrip()

    return [ink(line(head), "dim"), *(line(row, cell=style) for row, style in zip(rows, styles, strict=True))]


def duration(seconds: float) -> str:
    """Return a duration for people: `0.3 s`, `2 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _place(entry: Line | Change) -> Place:
    return Place(entry.stage, entry.parent, entry.service, entry.run)


def _name(place: Place) -> str:
    return f"{place.parent}/{place.stage}" if place.parent else place.stage


def _indented(change: Change) -> str:
    return f"  {change.stage}{' (service)' if change.service else ''}" if change.parent else change.stage


def _duration_of(change: Change) -> str:
    return duration(change.duration / 1e9) if change.duration else ""


def _reference(image: Image | None) -> str:
    if image is None:
        return ""
    return f"{image.name}{'@' if ':' in image.tag else ':'}{image.tag}"
