"""Hiding secrets in everything that leaves the builder. Pure."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

import re2
from estafette_common.jobs.plan import Plan
from estafette_common.manifest import secrets
from estafette_common.manifest.environment import compact_json

MASK = b"***"

SHORTEST = 4
"""Characters; anything shorter is too common to hide."""

LONG = 200
"""Bytes of a secret of which the last characters in base64, shared with what follows, may stay."""

ROWS = (76, 64)
"""Characters after which `base64` and `openssl base64` begin another line."""

LONGEST_CHARACTER = 4
"""Bytes of one in UTF-8 (RFC 3629)."""

HEADS = (0, 2, 3)
"""Characters of base64 that 0, 1 and 2 bytes before a secret have a part in."""


class Masker:
    """Replaces secrets by `***`: line by line, as they are, in base64 and URL-encoded; the longest first.

    With RE2, because a key of many lines has hundreds of forms, which Python's own expressions try one by one.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form.encode() for value in values for form in _forms(value) if "\n" not in form}
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = _any_of(ordered) if ordered else None
        self.longest = len(ordered[0]) if ordered else 0
        """Bytes of the longest text that is hidden."""

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        return self.hide(text.encode(errors="replace")).decode()

    def hide(self, data: bytes) -> bytes:
        """Return UTF-8, which may be broken and of many lines, without secrets; none goes beyond its line."""
        hidden: bytes = self._pattern.sub(_mask, data) if self._pattern else data
        return hidden

    def cut(self, data: bytes, at: int) -> int:
        """Return where UTF-8 may be cut, at or before `at` and after 0: no secret and no character is in two parts."""
        for found in self._pattern.finditer(data) if self._pattern else ():
            if found.end() > at:
                if 0 < found.start() < at:
                    return int(found.start())
                break
        return _between_characters(data, at)


def secrets_of(plan: Plan, key: bytes) -> list[str]:
    """Return the value of every secret in a plan; SecretError when one cannot be opened."""
    texts = [
        plan.clone_token,
        *plan.env.values(),
        *(stage.model_dump_json() for stage in plan.stages),
        json.dumps(plan.credentials),
    ]
    pipeline = plan.repository.pipeline
    return [value for text in texts for value in secrets.plain_values(text, key=key, pipeline=pipeline)]


def _mask(found: "re2._Match") -> bytes:  # noqa: ARG001  all look alike
    return MASK


def _between_characters(data: bytes, at: int) -> int:
    """Return `at`, or the beginning of the character that it is within."""
    for back in range(min(LONGEST_CHARACTER, at)):
        if data[at - back] & 0xC0 != 0x80:  # a byte that goes on with a character is 10xxxxxx (RFC 3629)
            return at - back
    return at


def _any_of(texts: list[bytes]) -> "re2._Regexp":
    options = re2.Options()
    options.max_mem = (16 << 20) + 512 * sum(map(len, texts))  # long secrets need more than the usual 8 MB
    return re2.compile(b"|".join(map(re2.escape, texts)), options)


def _forms(value: str) -> set[str]:
    found: set[str] = set()
    for text in (value, *_decoded(value)):
        for part in {text, *text.splitlines(), *text.split("\\n")}:
            plain = part.strip()
            if len(plain) >= SHORTEST:
                found |= {plain, *_in_json(plain), *_url_encoded(plain)}
                found |= {*_base64(plain.encode()), *_base64(part.encode())}
    return {form for form in found if len(form) >= SHORTEST}


def _decoded(value: str) -> list[str]:
    """Return what a secret in base64 holds, if it is text; the reference hides that, too."""
    try:
        return [base64.b64decode("".join(value.split()), validate=True).decode()]
    except ValueError:
        return []


def _in_json(text: str) -> Iterator[str]:
    """Give what a text is inside of JSON, as in the files of credentials and the properties of extensions."""
    yield compact_json(text)[1:-1]
    yield json.dumps(text)[1:-1]


def _url_encoded(text: str) -> Iterator[str]:
    for encoded in (quote(text, safe=""), quote_plus(text), quote(text), quote(text, safe="!'()*")):
        yield encoded
        yield re.sub("%..", lambda found: found[0].lower(), encoded)


def _base64(data: bytes) -> Iterator[str]:
    for form in _standard_base64(data):
        yield form
        yield form.replace("+", "-").replace("/", "_")


def _standard_base64(data: bytes) -> Iterator[str]:
    """Give what base64 makes of data wherever it is in what was encoded, without characters it shares."""
    for before, head in enumerate(HEADS):
        ended = _encoded(bytes(before) + data)[head:]
        yield ended[: (before + len(data)) * 8 // 6 - head]
        if len(data) < LONG:
            yield ended
            yield ended.rstrip("=")
            yield _encoded(bytes(before) + data + b"\n")[head:]
    rows = _encoded(data + b"\n")
    for width in ROWS:
        yield from (rows[at : at + width] for at in range(0, len(rows) - SHORTEST, width))


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
