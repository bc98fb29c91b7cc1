"""Which new tags of an image count as an update: the policies of Keel (https://keel.sh/docs/#policies).

all, major, minor, patch: a higher version, at most in the part named; force: any change; glob:<pattern> and
regexp:<pattern>: a tag that matches and sorts later; never.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from estafette_common.triggers import patterns, tag_versions
from estafette_common.triggers.tag_versions import TextOrder, Version, text_order

LATEST = "latest"

LEVELS = ("all", "major", "minor", "patch")


class PolicyError(Exception):
    """A policy is not understood; the message says what can be written."""


@dataclass(frozen=True, slots=True)
class ImageTag:
    """A tag of an image and the digest of what it points to, empty when that is not known."""

    name: str
    digest: str = ""


class Policy(Protocol):
    """Decides which tags are updates. The answers are the reason why not, empty when it is so."""

    def why_not_watched(self, found: ImageTag) -> str:
        """Return why a tag can never be an update, whatever was there before."""
        ...

    def why_no_update(self, known: ImageTag, found: ImageTag) -> str:
        """Return why a tag is no update of the one that was handled last."""
        ...

    def newest_first(self, tags: Sequence[str]) -> list[str]:
        """Return the watched tags of those that the registry lists."""
        ...


def parse(text: str, *, match_tag: bool = False, match_pre_release: bool = True) -> Policy:
    """Return the policy; PolicyError when there is none.

    `match_tag`: force waits for another image under the same tag. `match_pre_release`: what follows the numbers
    (1.22-alpine) must stay the same, except for all.
    """
    kind, _, pattern = text.partition(":")
    if kind in LEVELS and not pattern:
        return _Semver(kind, same_pre_release=match_pre_release and kind != "all")
    if text == "force":
        return _Force(match_tag)
    if text == "never":
        return _Never()
    if kind in {"glob", "regexp"} and pattern:
        expression = pattern if kind == "regexp" else _of_glob(pattern)
        try:
            patterns.compile(expression)
        except patterns.PatternError as error:
            raise PolicyError(f"docker.policy: {error}") from None
        return _Pattern(text, expression)
    raise PolicyError(
        f"docker.policy {text!r} is none of all, major, minor, patch, force, never, glob:<pattern>, regexp:<pattern>"
    )


def newest(policy: Policy, known: ImageTag, tags: Sequence[str]) -> str | None:
    """Return the newest of the listed tags that is an update of the known one; None when there is none."""
    for tag in policy.newest_first(tags):
        if tag == known.name:
            return None
        if not policy.why_no_update(known, ImageTag(tag)):
            return tag
    return None


def repository_of(image: str) -> str:
    """Return the full name of an image without tag: `golang` is docker.io/library/golang, as for docker itself."""
    host, slash, path = image.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", image
    host = "docker.io" if host == "index.docker.io" else host
    return f"{host}/library/{path}" if host == "docker.io" and "/" not in path else f"{host}/{path}"


@dataclass(frozen=True, slots=True)
class _Semver:
    level: str
    same_pre_release: bool

    def why_not_watched(self, found: ImageTag) -> str:
        version = tag_versions.parse(found.name)
        return "" if version and version.parts > 1 else f"tag {found.name!r} is not a version such as 1.2 or 1.2.3"

    def why_no_update(self, known: ImageTag, found: ImageTag) -> str:
        new, old = tag_versions.parse(found.name), tag_versions.parse(known.name)
        if new is None or new.parts == 1:
            return self.why_not_watched(found)
        if known.name == LATEST:
            return ""
        if old is None:
            return f"tag {known.name!r} is neither a version nor latest: nothing to compare {found.name!r} with"
        if self.same_pre_release and new.pre_release != old.pre_release:
            return f"{found.name!r} has another pre-release than {known.name!r}"
        if not new.order > old.order:
            return f"{found.name!r} is not higher than {known.name!r}"
        return "" if self._within_level(old, new) else f"{found.name!r} is more than a {self.level} update"

    def newest_first(self, tags: Sequence[str]) -> list[str]:
        found = [(tag, version) for tag in tags if (version := tag_versions.parse(tag)) and version.parts > 1]
        return [tag for tag, _ in sorted(found, key=lambda pair: pair[1].order, reverse=True)]

    def _within_level(self, old: Version, new: Version) -> bool:
        if self.level == "patch":
            return (new.major, new.minor) == (old.major, old.minor)
        return self.level != "minor" or new.major == old.major


@dataclass(frozen=True, slots=True)
class _Force:
    match_tag: bool

    def why_not_watched(self, found: ImageTag) -> str:  # noqa: ARG002  any tag is
        return ""

    def why_no_update(self, known: ImageTag, found: ImageTag) -> str:
        if found.name == known.name:
            return _why_unchanged(known, found)
        if self.match_tag:
            return f"tag {found.name!r} is not {known.name!r}"
        new, old = tag_versions.parse(found.name), tag_versions.parse(known.name)
        return f"{found.name!r} is lower than {known.name!r}" if new and old and new.order < old.order else ""

    def newest_first(self, tags: Sequence[str]) -> list[str]:
        versions = _Semver("all", same_pre_release=False).newest_first(tags)
        return versions + [tag for tag in tags if tag not in set(versions)]


@dataclass(frozen=True, slots=True)
class _Pattern:
    text: str
    expression: str

    def why_not_watched(self, found: ImageTag) -> str:
        return "" if self._matches(found.name) else f"tag {found.name!r} does not match {self.text!r}"

    def why_no_update(self, known: ImageTag, found: ImageTag) -> str:
        if not self._matches(found.name):
            return self.why_not_watched(found)
        later = self._order(found.name) > self._order(known.name)
        return "" if later else f"{found.name!r} does not sort after {known.name!r}"

    def newest_first(self, tags: Sequence[str]) -> list[str]:
        return sorted((tag for tag in tags if self._matches(tag)), key=self._order, reverse=True)

    def _order(self, tag: str) -> TextOrder:
        """Return the order of the group `compare`, or of the whole tag where there is none."""
        groups = patterns.groups(self.expression, tag) or {}
        return text_order(groups.get("compare") or tag)

    def _matches(self, tag: str) -> bool:
        return patterns.groups(self.expression, tag) is not None


@dataclass(frozen=True, slots=True)
class _Never:
    def why_not_watched(self, found: ImageTag) -> str:  # noqa: ARG002  none is
        return "the policy is never"

    def why_no_update(self, known: ImageTag, found: ImageTag) -> str:  # noqa: ARG002  none is
        return "the policy is never"

    def newest_first(self, tags: Sequence[str]) -> list[str]:  # noqa: ARG002  none is
        return []


def _why_unchanged(known: ImageTag, found: ImageTag) -> str:
    """Return why a tag points to the same image; a webhook without a digest says that it was pushed again."""
    if not found.digest:
        return ""
    if not known.digest:
        return f"what {known.name!r} pointed to before is not known; later ones are compared with this"
    return f"{found.name!r} points to the same image" if found.digest == known.digest else ""


def _of_glob(pattern: str) -> str:
    wildcards = {"*": ".*", "?": "."}
    return f"^(?s:{''.join(wildcards.get(character) or re.escape(character) for character in pattern)})$"
