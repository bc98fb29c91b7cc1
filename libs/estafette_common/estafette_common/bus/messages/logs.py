"""LOGS: what a job printed and how its stages went, in numbered, compressed chunks.

The entries of one attempt, in order, are its whole log: folding them gives the steps that the API shows. A chunk is
told by the builder; manifest-planner tells chunks of attempt 0 about jobs that never ran or were lost. Encoded with
msgspec instead of pydantic, because one build may print a million lines.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

import msgspec
import zstandard

from estafette_common.bus import subjects
from estafette_common.bus.subjects import fill, pattern

CONTROL_ATTEMPT = 0
"""The attempt under which the control plane writes. It is shown after the builder's newest attempt."""


class Image(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The image of a stage; sizes in bytes, durations in nanoseconds, as in the reference's API."""

    name: str
    tag: str
    is_pulled: bool = False
    image_size: int = 0
    pull_duration: int = 0
    error: str = ""
    is_trusted: bool = False
    has_injected_credentials: bool = False
    digest: str = ""
    """`sha256:…` under which a registry has it; empty for what was built here."""


class Line(msgspec.Struct, frozen=True, tag="line", omit_defaults=True):
    """A line that a stage printed."""

    stage: str
    number: int
    """From 1 within its stage (and attempt and run)."""
    time: str
    """RFC 3339, UTC, nanoseconds."""
    text: str
    """Without its line end; secrets are masked."""
    stream: str = "stdout"
    """`stdout` or `stderr`"""
    parent: str = ""
    service: bool = False
    run: int = 0


class Change(msgspec.Struct, frozen=True, tag="change", omit_defaults=True):
    """A stage changed its status."""

    stage: str
    status: str
    """A `StageStatus`."""
    time: str
    image: Image | None = None
    duration: int = 0
    """Nanoseconds, once it ended, without the pull."""
    exit_code: int = 0
    auto_injected: bool = False
    parent: str = ""
    service: bool = False
    run: int = 0


class End(msgspec.Struct, frozen=True, tag="end", omit_defaults=True):
    """Nothing follows: the job is over."""

    outcome: str
    """An `Outcome`."""


Entry = Line | Change | End


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive entries of one attempt of a job."""

    TYPE: ClassVar[str] = "estafette.log.chunk.v1"
    SUBJECT: ClassVar[str] = subjects.LOG
    CONTENT_TYPE: ClassVar[str] = "application/json"

    kind: str
    job_id: str
    attempt: int
    number: int
    """Of the chunk within its attempt, from 1 without gap."""
    first: int
    """Of the first entry within its attempt, from 1; entries have no number of their own."""
    entries: list[Entry]

    @property
    def subject(self) -> str:
        """Where this chunk is published."""
        return fill(self.SUBJECT, kind=self.kind, job_id=self.job_id)

    @property
    def id(self) -> str:
        """The message id: a chunk published twice is stored once."""
        return f"log/{self.job_id}/{self.attempt}/{self.number}"

    @property
    def headers(self) -> dict[str, str]:
        """What a reader needs to know to store the chunk without opening it."""
        return {
            "content-encoding": "zstd",
            "estafette-kind": self.kind,
            "estafette-job-id": self.job_id,
            "estafette-attempt": str(self.attempt),
            "estafette-chunk": str(self.number),
            "estafette-first-entry": str(self.first),
            "estafette-entries": str(len(self.entries)),
            "estafette-ends": "1" if self.entries and isinstance(self.entries[-1], End) else "0",
        }

    @classmethod
    def pattern(cls) -> str:
        """Return the subject filter that matches every chunk."""
        return pattern(cls.SUBJECT)

    def encode(self) -> bytes:
        """Return the chunk as zstd-compressed JSON."""
        return zstandard.compress(_ENCODER.encode(self), level=1)

    @classmethod
    def decode(cls, body: bytes, headers: Mapping[str, str] | None = None) -> Self:  # noqa: ARG003  all is in the body
        """Return the chunk of a body; ValueError says what is wrong with it."""
        try:
            return msgspec.json.decode(_decompress(body), type=cls)
        except zstandard.ZstdError as error:
            raise ValueError(f"log chunk: not zstd: {error}") from error


class SealedLogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A log chunk as the log-sink takes it: described by its headers, its body unopened."""

    TYPE: ClassVar[str] = LogChunk.TYPE
    SUBJECT: ClassVar[str] = LogChunk.SUBJECT

    kind: str
    job_id: str
    attempt: int
    number: int
    first: int
    count: int
    """Of its entries."""
    ends: bool
    """Whether its last entry is an `End`."""
    body: bytes

    @property
    def subject(self) -> str:
        """Where this chunk was published."""
        return fill(self.SUBJECT, kind=self.kind, job_id=self.job_id)

    @classmethod
    def pattern(cls) -> str:
        """Return the subject filter that matches every chunk."""
        return pattern(cls.SUBJECT)

    @classmethod
    def decode(cls, body: bytes, headers: Mapping[str, str]) -> Self:
        """Return the chunk that the headers describe; ValueError when they do not."""
        try:
            return cls(
                kind=headers["estafette-kind"],
                job_id=headers["estafette-job-id"],
                attempt=int(headers["estafette-attempt"]),
                number=int(headers["estafette-chunk"]),
                first=int(headers["estafette-first-entry"]),
                count=int(headers["estafette-entries"]),
                ends=headers["estafette-ends"] == "1",
                body=body,
            )
        except KeyError as error:
            raise ValueError(f"log chunk: header {error} is missing") from error


MAX_CHUNK_BYTES = 64 * 1024 * 1024
"""Size of a decompressed chunk beyond which it is refused."""

_ENCODER = msgspec.json.Encoder()


def _decompress(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_CHUNK_BYTES)
