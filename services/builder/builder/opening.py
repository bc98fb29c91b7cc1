"""Opening secrets of a manifest where the server's key may not be at hand."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from estafette_common.manifest import secrets

from builder.localplan import Text

PLACEHOLDER = "closed-secret"
"""What a stage gets for a secret that cannot be opened."""

NO_KEY = "no key was given"


class Closed(NamedTuple):
    """A text with a secret that cannot be opened, and why."""

    text: Text
    reason: str


class Opener:
    """Opens secrets with the given keys, for one pipeline; without any key all stay closed."""

    def __init__(self, keys: tuple[bytes, ...], pipeline: str) -> None:
        self._keys = keys
        self._pipeline = pipeline

    def __call__(self, text: str) -> str:
        """Return the text with its secrets opened, and a placeholder for each that cannot be."""
        return secrets.ENVELOPE.sub(self._value_or_placeholder, text)

    def values(self, texts: Iterable[Text]) -> set[str]:
        """Return the values of all secrets that can be opened."""
        found = (envelope for each in texts for envelope in secrets.ENVELOPE.finditer(each.text))
        return {value for envelope in found if (value := self._open(envelope[0])) is not None}

    def closed(self, texts: Iterable[Text]) -> list[Closed]:
        """Return the texts with a secret that cannot be opened."""
        return [Closed(each, reason) for each in texts if (reason := self._fault(each.text))]

    def _fault(self, text: str) -> str:
        for envelope in secrets.ENVELOPE.finditer(text):
            if not self._keys:
                return NO_KEY
            try:
                secrets.decrypt(envelope[0], key=self._keys, pipeline=self._pipeline)
            except secrets.SecretError as error:
                return str(error)
        return ""

    def _open(self, envelope: str) -> str | None:
        try:
            return secrets.decrypt(envelope, key=self._keys, pipeline=self._pipeline)
        except secrets.SecretError:
            return None

    def _value_or_placeholder(self, envelope: re.Match[str]) -> str:
        value = self._open(envelope[0])
        return PLACEHOLDER if value is None else value


def is_sealed(text: str) -> bool:
    """Return whether there is a secret in a text."""
    return secrets.ENVELOPE.search(text) is not None
