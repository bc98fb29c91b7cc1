"""Where stages run: one small interface, implemented once per file."""

import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from estafette_common.bus.messages.logs import Image

Output = Callable[[str, bytes], Awaitable[None]]
"""Takes what a stage prints: the stream (`stdout` or `stderr`) and the bytes, in the order they came."""

Say = Callable[[str], None]
"""Takes a line about a stage, for people."""

GRACE = 10.0
"""Seconds that a stage has to end after it was asked to."""


class StageError(Exception):
    """A stage could not be run, or failed; the message is for the person who wrote it."""

    def __init__(self, reason: str, *, exit_code: int = 0) -> None:
        super().__init__(reason)
        self.exit_code = exit_code
        """Of the stage, where that is why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a registry is told to let somebody in."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image, and how to get it."""

    reference: str
    login: Login | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a container may do beyond others, because its image is trusted."""

    is_trusted: bool = False
    privileged: bool = False
    engine: bool = False
    """Whether it may use the container engine that runs it."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Files for it, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """A stage, ready to run: references expanded, secrets opened."""

    name: str
    image: str
    shell: str
    work_dir: str
    commands: tuple[str, ...]
    run_commands_in_foreground: bool
    environment: Mapping[str, str]
    workspace: Path
    """The job's work directory on the host."""
    hostname: str = ""
    """Of a service: by which stages reach it. It has no work directory."""
    login: Login | None = None
    """For the registry of its image."""
    rights: Rights = field(default_factory=Rights)
    later: tuple[ImageSource, ...] = ()
    """Images that will probably be needed after it, in this order."""


def beside(workspace: Path) -> Path:
    """Return where to write what stages shall not see: beside their workspace, unless that is somebody else's."""
    folder = workspace.parent
    return folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())


def silent(line: str) -> None:
    """Say nothing."""


class PreparedStage(Protocol):
    """A stage that has only to be run, or dropped."""

    @property
    def image(self) -> Image:
        """Its image, which is there."""
        ...

    async def run(self, output: Output) -> int:
        """Run the stage to its end, once, and return its exit code. Raises StageError.

        When cancelled, the stage is asked to end, given `GRACE`, killed, and ended when this returns.
        """
        ...

    async def address(self) -> str:
        """Return where it can be reached from here, once it runs. Raises StageError."""
        ...

    async def execute(self, command: Sequence[str]) -> int:
        """Run a command in it, while it runs, and return its exit code. Raises StageError."""
        ...

    def drop(self) -> None:
        """Let go of what was prepared; it will not be run."""
        ...


class StageRuntime(Protocol):
    """Runs the stages and services of one job."""

    name: str
    """`docker` or `process`"""

    note: str
    """For people: what is particular about it; empty if nothing."""

    async def prepare(self, stage: StageRun, say: Say = silent) -> PreparedStage:
        """Make the image available, and whatever else can be done before the workspace is filled. Raises StageError.

        What takes long is said.
        """
        ...

    async def close(self) -> None:
        """Wait until nothing is left of any stage, and let go of connections."""
        ...


def split_reference(image: str) -> tuple[str, str]:
    """Return name and tag, better digest, of a reference: `registry:5000/a/b:1` is (`registry:5000/a/b`, `1`)."""
    rest, _, digest = image.partition("@")
    head, colon, tag = rest.rpartition(":")
    name, tag = (head, tag) if colon and "/" not in tag else (rest, "latest")
    return name, digest or tag
