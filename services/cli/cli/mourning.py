"""Dead letters for people. Pure: letters in, lines out."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress

from cli.letters import Letter
from cli.showing import aligned

COLUMNS = ("number", "given up at", "subject", "consumer", "tries", "reason")

LONGEST_REASON = 100
"""Characters in a table; `show` has all of it."""


def table(letters: Sequence[Letter], *, most: int) -> Iterator[str]:
    """Yield a line for each of the newest letters, below a line of titles; or say that there are none."""
    if not letters:
        yield "there are no dead letters"
        return
    yield from aligned([COLUMNS, *(_row(letter) for letter in letters[-most:])])
    if len(letters) > most:
        yield f"and {count(len(letters) - most, 'older one')}"


def details(letter: Letter) -> Iterator[str]:
    """Yield all there is to say of a letter."""
    yield f"dead letter {letter.number}, given up at {_time(letter)} after {letter.tries} tries"
    yield f"  subject   {letter.subject}"
    yield f"  consumer  {letter.consumer}{f' of {letter.service}' if letter.service else ''}"
    yield f"  reason    {plain(letter.reason)}"
    yield ""
    for name, value in sorted(letter.headers.items()):
        yield plain(f"{name}: {value}")
    yield ""
    yield body(letter.body)


def body(raw: bytes) -> str:
    """Return a body as text: JSON indented, other text as it came, else how many bytes there are."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return f"{count(len(raw), 'byte')} that are no text"
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return plain(text)


def plain(text: str) -> str:
    """Return a text with escapes for what could steer a terminal: anybody may have written it."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def count(number: int, what: str = "dead letter") -> str:
    """Return how many of something there are."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _row(letter: Letter) -> tuple[str, ...]:
    reason = plain(letter.reason.partition("\n")[0])
    shown = reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"
    return str(letter.number), _time(letter), letter.subject, letter.consumer, letter.tries, shown


def _time(letter: Letter) -> str:
    return f"{letter.at:%Y-%m-%dT%H:%M:%SZ}"
