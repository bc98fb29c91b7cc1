"""Images of stages: there when a stage needs them, pulled ahead of its turn where possible."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiodocker
from estafette_common.bus.messages.logs import Image

from builder.engine import FAILURES, reason
from builder.references import NoReferenceError, Reference, parse
from builder.runtimes import ImageSource, Say, StageError, split_reference

AT_ONCE = 2
"""Images that are pulled ahead of their turn at the same time."""

TOLD_EVERY = 5.0
"""Seconds between two lines about a pull."""

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """An image that the engine has."""

    image: Image
    created: str
    """When it was made, RFC 3339."""


class Images:
    """Pulls the images of a job, each by one at a time, and as its stages need them."""

    def __init__(self, engine: aiodocker.Docker, *, told_every: float = TOLD_EVERY) -> None:
        self._engine = engine
        self._told_every = told_every
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._listeners: defaultdict[str, list[Say]] = defaultdict(list)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._ahead: dict[str, asyncio.Task[None]] = {}
        """By reference: for every image that was ever to be pulled ahead."""
        self._seconds: dict[str, float] = {}
        """How long each image took that was pulled ahead and is not used yet."""

    async def get(self, source: ImageSource, say: Say) -> Found:
        """Return an image, pulled unless the engine has it; what takes long is said. Raises StageError."""
        listeners = self._listeners[source.reference]
        listeners.append(say)
        try:
            async with self._locks[source.reference]:
                return await self._get(source, parse(source.reference))
        except NoReferenceError as error:
            raise StageError(str(error)) from error
        except FAILURES as error:
            raise StageError(f"the image {source.reference} cannot be pulled: {reason(error)}") from error
        finally:
            listeners.remove(say)

    def pull_ahead(self, sources: Iterable[ImageSource]) -> None:
        """Begin to pull images that will be needed later, in this order. Whether that works is found out then."""
        for source in sources:
            if source.reference not in self._ahead:
                self._ahead[source.reference] = asyncio.create_task(self._pull_ahead(source))

    async def close(self) -> None:
        """End what is pulled ahead."""
        for task in self._ahead.values():
            task.cancel()
        if self._ahead:
            await asyncio.wait(self._ahead.values())

    async def _get(self, source: ImageSource, reference: Reference) -> Found:
        shown = await self._inspect(source.reference)
        seconds = self._seconds.pop(source.reference, None)
        if shown is not None and seconds is None:
            return _found(source, reference, shown)
        if shown is None:
            seconds = await self._pull(source, reference)
        elif not reference.digest:
            await self._renew(source, reference)
        shown = await self._inspect(source.reference)
        if shown is None:
            raise StageError(f"the image {source.reference} cannot be pulled: the engine broke off")
        return _found(source, reference, shown, pulled_in=seconds)

    async def _pull_ahead(self, source: ImageSource) -> None:
        with suppress(*FAILURES, NoReferenceError):
            async with self._slots, self._locks[source.reference]:
                reference = parse(source.reference)
                if await self._inspect(source.reference) is None:
                    self._seconds[source.reference] = await self._pull(source, reference)

    async def _renew(self, source: ImageSource, reference: Reference) -> None:
        """Pull what moved since the image was pulled ahead: a stage before may have pushed it."""
        try:
            await self._pull(source, reference)
        except FAILURES as error:
            self._say(source, f"{source.reference} was pulled while stages before ran; asked again: {reason(error)}")

    async def _pull(self, source: ImageSource, reference: Reference) -> float:
        """Pull an image and return how many seconds that took."""
        began = time.monotonic()
        login = source.login
        auth = {"username": login.username, "password": login.password} if login is not None else None
        pulling = Pulling(source.reference, now=began, told_every=self._told_every)
        async for event in self._engine.images.pull(reference.to_pull, auth=auth, stream=True):
            if line := pulling.line(event, now=time.monotonic()):
                self._say(source, line)
        if line := pulling.last_line(now=time.monotonic()):
            self._say(source, line)
        return time.monotonic() - began

    def _say(self, source: ImageSource, line: str) -> None:
        for say in self._listeners[source.reference]:
            say(line)

    async def _inspect(self, image: str) -> dict[str, Any] | None:
        try:
            shown: dict[str, Any] = await self._engine.images.inspect(image)
        except aiodocker.DockerError as error:
            if error.status == 404:
                return None
            raise
        return shown


class Pulling:
    """Folds what the engine says of a pull, several times a second, to lines for people; none where it is quick.

    Times are in seconds of the monotonic clock.
    """

    def __init__(self, image: str, *, now: float, told_every: float = TOLD_EVERY) -> None:
        self._image = image
        self._told_every = told_every
        self._began = self._told = now
        self._layers: dict[str, tuple[int, int]] = {}
        """Bytes that are there, and all, by id."""

    def line(self, event: dict[str, Any], *, now: float) -> str:
        """Take an event; return the line to say now, if any."""
        self._take(event)
        if now < self._told + self._told_every:
            return ""
        self._told = now
        done, total = (sum(sizes) / MEGABYTE for sizes in zip((0, 0), *self._layers.values(), strict=True))
        how_far = f"{done:.1f} of {total:.1f} MB" if done < total else f"{total:.1f} MB are there, extracting"
        return f"pulling {self._image}: {how_far if total else 'waiting for the registry'}"

    def last_line(self, *, now: float) -> str:
        """Return the line to say at the end, if there was any before."""
        if self._told == self._began:
            return ""
        total = sum(size for _, size in self._layers.values())
        return f"pulled {self._image}: {total / MEGABYTE:.1f} MB in {now - self._began:.1f} s"

    def _take(self, event: dict[str, Any]) -> None:
        layer, detail = event.get("id", ""), event.get("progressDetail") or {}
        match event.get("status"):
            case "Downloading" if "total" in detail:
                self._layers[layer] = (detail.get("current", 0), detail["total"])
            case "Download complete" | "Pull complete" if layer in self._layers:
                total = self._layers[layer][1]
                self._layers[layer] = (total, total)
            case "Pull complete":  # a small layer is there before its size is told
                self._layers[layer] = (0, 0)


def _found(
    source: ImageSource, reference: Reference, shown: dict[str, Any], *, pulled_in: float | None = None
) -> Found:
    name, tag = split_reference(source.reference)
    image = Image(
        name=name,
        tag=tag,
        is_pulled=pulled_in is None,
        image_size=shown["Size"],
        pull_duration=int((pulled_in or 0.0) * 1e9),
        digest=_digest(reference, shown.get("RepoDigests") or []),
    )
    return Found(image, shown.get("Created", ""))


def _digest(reference: Reference, known: list[str]) -> str:
    """Return the digest that a registry has for an image, best the one of its own name; empty for none."""
    digests = {name: digest for name, _, digest in (each.partition("@") for each in reversed(known))}
    for name, digest in digests.items():
        if parse(name).name == reference.name:
            return digest
    return next(reversed(digests.values()), "")
