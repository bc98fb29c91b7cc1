"""What all messages share: typed bodies, and the CloudEvents 1.0 envelope they travel in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict

from estafette_common.bus import identity
from estafette_common.bus.subjects import fields, fill, pattern

CLOUDEVENTS_SAFE = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
"""Characters that the CloudEvents HTTP binding leaves alone in a header value."""


class Message(BaseModel):
    """The body of a message. Readers ignore unknown fields, so a newer sender may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    TYPE: ClassVar[str]
    """CloudEvents type, ending in the version: `estafette.job.finished.v1`."""

    SUBJECT: ClassVar[str]
    """Subject template: `job.{kind}.{job_id}.finished`."""

    CONTENT_TYPE: ClassVar[str] = "application/json"

    @property
    def subject(self) -> str:
        """Where this message is published."""
        return fill(self.SUBJECT, **{name: str(getattr(self, name)) for name in fields(self.SUBJECT)})

    @classmethod
    def pattern(cls) -> str:
        """Return the subject filter that matches every message of this class."""
        return pattern(cls.SUBJECT)

    @property
    def headers(self) -> dict[str, str]:
        """What travels in headers besides the envelope."""
        return {}

    def encode(self) -> bytes:
        """Return the body as it travels."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, body: bytes, headers: Mapping[str, str]) -> Self:  # noqa: ARG003  for classes that need them
        """Return the message of a body and its headers; ValueError says what is wrong with it."""
        return cls.model_validate_json(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A message whose body its sender already encoded; for senders of thousands a second."""

    message: type[Message]
    subject: str
    body: bytes

    @property
    def TYPE(self) -> str:  # noqa: N802  as the message it stands for
        """The type of the message it stands for."""
        return self.message.TYPE

    @property
    def CONTENT_TYPE(self) -> str:  # noqa: N802  as the message it stands for
        """The content type of the message it stands for."""
        return self.message.CONTENT_TYPE

    @property
    def headers(self) -> dict[str, str]:
        """Nothing besides the envelope."""
        return {}

    def encode(self) -> bytes:
        """Return the body."""
        return self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Which message it is and who told it; travels as `ce-*` headers (CloudEvents 1.0, binary mode)."""

    id: str
    type: str
    source: str
    time: datetime

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], *, default_id: str, default_time: datetime) -> Self:
        """Return the envelope of a received message; the defaults stand in for a sender that gave none."""
        try:
            time = datetime.fromisoformat(headers.get("ce-time", ""))
        except ValueError:
            time = default_time
        return cls(
            id=unquote(headers.get("ce-id", "")) or default_id,
            type=headers.get("ce-type", ""),
            source=headers.get("ce-source", ""),
            time=time,
        )

    def headers(self, *, content_type: str) -> dict[str, str]:
        """Return the headers that carry this envelope."""
        quoted = quote(self.id, safe=CLOUDEVENTS_SAFE)
        return {
            "ce-specversion": "1.0",
            "ce-id": quoted,
            "ce-type": self.type,
            "ce-source": self.source,
            "ce-time": self.time.isoformat(),
            "content-type": content_type,
            "Nats-Msg-Id": quoted,
        }

    def derive(self, purpose: str) -> str:
        """Return the id of an answer to this message: the same however often it is delivered."""
        return identity.derive(self.id, purpose)


Cause = Envelope
"""The envelope of the message that a handler is answering."""
