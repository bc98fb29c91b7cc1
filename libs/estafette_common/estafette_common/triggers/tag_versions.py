"""Versions in image tags: 1.2.3, v1.2, 2024.01, 1.22-alpine3.20.

Tags are looser than semantic versions (a `v`, two parts, zeros in front), so libraries that read these by the letter
refuse many; the order is that of https://semver.org §11.
"""

import re
from dataclasses import dataclass

_VERSION = re.compile(
    r"v?(?P<major>[0-9]{1,18})(?:\.(?P<minor>[0-9]{1,18}))?(?:\.(?P<patch>[0-9]{1,18}))?"
    r"(?:-(?P<pre_release>[0-9A-Za-z.-]+))?"
)


TextOrder = tuple[bool, int, str]
VersionOrder = tuple[int, int, int, bool, tuple[TextOrder, ...]]


@dataclass(frozen=True, slots=True)
class Version:
    """The version in a tag; `parts` counts the numbers that were written: 1, 2 or 3."""

    major: int
    minor: int = 0
    patch: int = 0
    pre_release: str = ""
    parts: int = 3

    @property
    def order(self) -> VersionOrder:
        """Sorts versions; equal for those that none precedes, as 1.2 and 1.2.0."""
        identifiers = tuple(text_order(part) for part in self.pre_release.split("."))
        return self.major, self.minor, self.patch, not self.pre_release, identifiers


def parse(tag: str) -> Version | None:
    """Return the version in a tag; None when it has none."""
    found = _VERSION.fullmatch(tag)
    if found is None:
        return None
    numbers = found.group("major", "minor", "patch")
    major, minor, patch = (int(number or 0) for number in numbers)
    return Version(major, minor, patch, found["pre_release"] or "", parts=3 - numbers.count(None))


def text_order(text: str) -> TextOrder:
    """Sorts texts: numbers come first and by their value, other texts after them and by their characters."""
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0")
        return False, len(digits), digits
    return True, 0, text
