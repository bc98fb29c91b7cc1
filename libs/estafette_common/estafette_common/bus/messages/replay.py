"""A dead letter on its way back. It goes to the consumer that had buried it and to nobody else.

It does not return to the stream it came from: others had handled it there, and some take a stream for their memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from estafette_common.bus.delivery import Origin
from estafette_common.bus.subjects import COMMAND_REPLAY, fill, pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A message as it was, and who shall have it. Told by people, done by the service that gave up on it."""

    SUBJECT: ClassVar[str] = COMMAND_REPLAY

    service: str
    consumer: str
    original: str
    """The subject that it had."""
    body: bytes
    headers: Mapping[str, str]

    @property
    def subject(self) -> str:
        """Where it is published."""
        return fill(self.SUBJECT, service=self.service)

    @classmethod
    def pattern(cls) -> str:
        """Return the subject filter that matches every replay."""
        return pattern(cls.SUBJECT)

    @classmethod
    def decode(cls, body: bytes, headers: Mapping[str, str]) -> Self:
        """Return the dead letter of a body and its headers; ValueError when they do not say where it comes from."""
        try:
            service, consumer, original = (headers[name] for name in (Origin.SERVICE, Origin.CONSUMER, Origin.SUBJECT))
        except KeyError as missing:
            raise ValueError(f"not a dead letter: there is no {missing.args[0]}") from None
        return cls(service=service, consumer=consumer, original=original, body=body, headers=headers)
