"""What becomes of a message by how its handler ended."""

import asyncio
from urllib.parse import quote

from nats.aio.msg import Msg

from estafette_common.bus import subjects
from estafette_common.bus.messages.message import Envelope

REASON_LENGTH = 500

EXPECTED = "Nats-Expected-"
"""JetStream keeps the conditions of a publish among its headers, and would ask them of the dead letters too."""

MOST_TRIES_TO_UNDERSTAND = 3
"""Tries of a message that is not understood, however patient its consumer is."""


class TemporaryError(Exception):
    """Trying again may help, after `delay` seconds or else after the consumer's backoff."""

    def __init__(self, reason: str, *, delay: float | None = None) -> None:
        super().__init__(reason)
        self.delay = delay


class PermanentError(Exception):
    """Trying again cannot help."""


class NotUnderstoodError(Exception):
    """The message is not what its subject promises. A newer replica may understand it, so it is tried a few times."""


def next_try(error: BaseException, *, tries: int, backoff: tuple[float, ...]) -> float | None:
    """Return the seconds until the next try of a message tried `tries` times, or nothing when there shall be none."""
    match error:
        case asyncio.CancelledError():  # we are stopping: a replica shall have it at once
            return 0.0
        case PermanentError():
            return None
        case NotUnderstoodError() if tries > MOST_TRIES_TO_UNDERSTAND:
            return None
        case _ if tries > len(backoff):
            return None
        case TemporaryError(delay=float(delay)):
            return delay
        case _:
            return backoff[tries - 1]


class Origin:
    """The headers that say where a dead letter comes from."""

    REASON = "estafette-reason"
    SUBJECT = "estafette-subject"
    STREAM = "estafette-stream"
    SEQUENCE = "estafette-sequence"
    SERVICE = "estafette-service"
    CONSUMER = "estafette-consumer"
    TRIES = "estafette-tries"


def obituary(message: Msg, error: BaseException, envelope: Envelope, *, service: str) -> tuple[str, dict[str, str]]:
    """Return the subject and the headers under which a message that cannot be handled is kept.

    One that was replayed keeps the origin that it had; its tries are counted together.
    """
    place, was = message.metadata, message.headers or {}
    origin = {
        Origin.SUBJECT: message.subject,
        Origin.STREAM: place.stream,
        Origin.SEQUENCE: str(place.sequence.stream),
        Origin.SERVICE: service,
        Origin.CONSUMER: place.consumer,
    }
    tries = place.num_delivered
    if message.subject == subjects.fill(subjects.COMMAND_REPLAY, service=service):
        origin = {name: was.get(name, "") for name in origin}
        tries += int(was.get(Origin.TRIES, "0"))
    headers = {
        **{name: value for name, value in was.items() if not name.startswith(EXPECTED)},
        # Ids are derived from these, so a sender that gave none must not get others when it is replayed.
        "ce-id": was.get("ce-id") or quote(envelope.id, safe="/"),
        "ce-time": was.get("ce-time") or envelope.time.isoformat(),
        "Nats-Msg-Id": f"dead/{place.consumer}/{place.sequence.stream}",
        **origin,
        Origin.REASON: quote(f"{type(error).__name__}: {error}", safe=" :,()[]'=")[:REASON_LENGTH],
        Origin.TRIES: str(tries),
    }
    return f"{subjects.DEAD}.{origin[Origin.SUBJECT]}", headers
