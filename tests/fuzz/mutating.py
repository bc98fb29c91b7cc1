"""Changes that make a good text, body or document a bad one. Pure: the same `Random` makes the same changes."""

import copy
from random import Random
from typing import Any

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, 2**70, -(2**63) - 1, 1e308, 0.1, "", " ", "\0", "\n", "\x1b[2J", "\ud800",
    "💥" * 50, "null", "NaN", "a" * 10_000, "../../etc/passwd", "a.b.*.>", "%00%2e", "{{.}}", "'; --", "=cmd",
    [], {}, [[]], [None], {"": ""}, {"__proto__": 1}, "e\u0301", "\u202e", "0" * 40, "-" * 40,
)  # fmt: skip
"""Values that have broken something somewhere."""

NASTY = (
    b"\0", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xfe\xff", b"\r\n", b"\n", b"\t", b'"',
    b"\\", b"{", b"[", b"}", b"]", b":", b",", b"&a ", b"*a", b"<<: ", b"!!python/object ", b"--- ", b"...",
    b"|", b">", b"%YAML 9\n", b"- ", b"? ", b"1e999", b"-0", b"0x", b"\xe2\x80\xa8", b"\\u0000", b"\\ud800",
    b"'", b"`", b"@", b"#", b"~", b"\x7f", b"\x1b[31m",
)  # fmt: skip
"""Bytes that mean something to a parser."""


def document(value: Any, random: Random) -> Any:
    """Return a JSON document in which one to four places were changed."""
    changed = copy.deepcopy(value)
    for _ in range(random.randint(1, 4)):
        changed = _change(changed, random)
    return changed


def _change(document: Any, random: Random) -> Any:
    places = list(_places(document))
    if not places:
        return copy.deepcopy(random.choice(STRANGE))
    parent, key = random.choice(places)
    match random.randrange(5):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[str(random.choice(STRANGE))[:200]] = parent[key]
        case 2:
            other, place = random.choice(places)
            parent[key] = copy.deepcopy(other[place])
        case 3:
            parent[key] = [parent[key]] * random.choice((1, 2, 500))
        case _:
            parent[key] = copy.deepcopy(random.choice(STRANGE))
    return document


def _places(value: Any, depth: int = 0) -> Any:
    """Yield every container and key in a document, to a depth where changes still matter."""
    if depth > 6 or not isinstance(value, dict | list):
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        yield from _places(value[key], depth + 1)


def raw(text: bytes, random: Random) -> bytes:
    """Return bytes in which one to six places were changed."""
    changed = bytearray(text)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(changed) + 1)
        length = min(random.choice((1, 1, 2, 8, 64, 512)), len(changed) - at)
        match random.randrange(7):
            case 0:
                del changed[at : at + length]
            case 1:
                changed[at:at] = random.choice(NASTY)
            case 2:
                changed[at : at + length] = random.choice(NASTY) * random.choice((1, 1, 1, 40))
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4 if at < len(changed):
                changed[at] ^= 1 << random.randrange(8)
            case 5:
                changed[at:] = b""
            case _:
                other = random.randrange(len(changed) + 1)
                changed[at:at] = changed[other : other + length]
    return bytes(changed)
