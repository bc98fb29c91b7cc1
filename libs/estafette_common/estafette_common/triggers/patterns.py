"""Patterns that people write in triggers: RE2 (the syntax of Go), never Python's re, so time is linear in the text."""

import re
from typing import Any

import re2

_SINGLE_BYTE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\(.)", re.DOTALL)
"""Finds each escape outside \\Q…\\E: RE2 knows `\\C`, one byte of a character, and Go refuses it."""

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


class PatternError(Exception):
    """A text is no valid pattern."""


def compile(pattern: str) -> Any:  # noqa: A001  the name that re and re2 have for it
    """Return the compiled pattern; PatternError when it is not valid RE2. re2 keeps the last ones."""
    if any(found[1] == "C" for found in _SINGLE_BYTE.finditer(pattern)):
        raise PatternError(f"{pattern!r} is not a valid regular expression: \\C is not allowed")
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "not valid"
        raise PatternError(f"{pattern!r} is not a valid regular expression (RE2): {reason}") from None
    except UnicodeEncodeError:
        raise PatternError(f"{pattern!r} is not a valid text") from None


def whole(pattern: str, text: str) -> bool:
    """Return whether the pattern, without spaces around it, matches the whole text; PatternError when it is broken."""
    return _fully(compile(pattern.strip()), text)


def selects(pattern: str, text: str) -> bool:
    """Return as `whole`, where `=~` as the very first characters says nothing and `!~` turns the answer around.

    A broken pattern raises PatternError, turned around or not.
    """
    operator, rest = (pattern[:2], pattern[2:]) if pattern.startswith(("=~", "!~")) else ("=~", pattern)
    return whole(rest, text) == (operator == "=~")


def check(pattern: str) -> None:
    """Raise PatternError when `selects` would."""
    selects(pattern, "")


def groups(pattern: str, text: str) -> dict[str, str | None] | None:
    """Return the named groups of the first place that matches; None when none does. PatternError as `compile`."""
    try:
        found = compile(pattern).search(text)
    except UnicodeEncodeError:
        return None
    return None if found is None else found.groupdict()


def _fully(compiled: Any, text: str) -> bool:
    try:
        return compiled.fullmatch(text) is not None
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON lets through, is no character
        return False
