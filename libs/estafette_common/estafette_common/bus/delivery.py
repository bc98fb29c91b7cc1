"""What becomes of a message by how its handler ended."""

import asyncio
from urllib.parse import quote

from nats.aio.msg import Msg

from estafette_common.bus import subjects

REASON_LENGTH = 500

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


def obituary(message: Msg, error: BaseException) -> tuple[str, dict[str, str]]:
    """Return the subject and the headers under which a message that cannot be handled is kept."""
    place = message.metadata
    headers = {
        **(message.headers or {}),
        "Nats-Msg-Id": f"dead/{place.consumer}/{place.sequence.stream}",
        "estafette-reason": quote(f"{type(error).__name__}: {error}", safe=" :,()[]'=")[:REASON_LENGTH],
        "estafette-subject": message.subject,
        "estafette-stream": place.stream,
        "estafette-sequence": str(place.sequence.stream),
        "estafette-consumer": place.consumer,
        "estafette-tries": str(place.num_delivered),
    }
    return f"{subjects.DEAD}.{message.subject}", headers
