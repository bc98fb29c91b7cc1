"""References to images, as in `registry:5000/acme/shop:1.2@sha256:…`. Pure.

The grammar is that of https://pkg.go.dev/github.com/distribution/reference.
"""

import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"
"""The registry of references that name none."""

OFFICIAL = "library"
"""Where Docker Hub has its images of one name: `busybox` is `docker.io/library/busybox`."""

ALIASES = {"index.docker.io": DOCKER_HUB, "registry-1.docker.io": DOCKER_HUB}

NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
HOST = r"(?!-)[a-zA-Z0-9-]+(?<!-)"
REGISTRY = re.compile(rf"(?:{HOST}(?:\.{HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,}")

LONGEST = 4096
"""Characters of a reference."""


class NoReferenceError(ValueError):
    """A text is no reference to an image; the message says why."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference with everything that it leaves out."""

    registry: str
    path: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """Registry and path: `docker.io/library/busybox`."""
        return f"{self.registry}/{self.path}"

    @property
    def to_pull(self) -> str:
        """The whole of it, as the engine is asked for it; a digest says more than a tag."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"

    def is_below(self, place: str) -> bool:
        """Return whether the image is in a registry, or a part of one: `registry:5000`, `gcr.io/acme`, `acme`."""
        registry, path = _registry_and_path(place.rstrip("/"), alone=True)
        return self.registry == registry and (not path or f"{self.path}/".startswith(f"{path}/"))


def parse(text: str) -> Reference:
    """Return the reference of a text; NoReferenceError when it is none."""
    rest, at, digest = text.partition("@")
    head, colon, tag = rest.rpartition(":")
    name, tag = (head, tag) if colon and "/" not in tag else (rest, "")
    registry, path = _registry_and_path(name)
    if "/" not in path and registry == DOCKER_HUB:
        path = f"{OFFICIAL}/{path}"
    well_formed = (
        len(text) <= LONGEST
        and REGISTRY.fullmatch(registry)
        and all(NAME.fullmatch(part) for part in path.split("/"))
        and (not colon or name == rest or TAG.fullmatch(tag))
        and (not at or DIGEST.fullmatch(digest))
    )
    if not well_formed:
        raise NoReferenceError(f"{text!r} is no name of an image; write it as in registry.example.com/team/image:1.2")
    return Reference(registry, path, tag or "latest", digest)


def _registry_and_path(name: str, *, alone: bool = False) -> tuple[str, str]:
    """Return registry and path of a name; `alone` is whether it may be a registry without a path."""
    first, slash, rest = name.partition("/")
    if (slash or alone) and ("." in first or ":" in first or first == "localhost"):
        return ALIASES.get(first, first), rest
    return DOCKER_HUB, name
