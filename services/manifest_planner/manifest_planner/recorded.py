"""Events as they were recorded: in files, as CloudEvents in structured mode, and in the stream. Reads only."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import nats.errors
import nats.js.errors
from estafette_common.bus import identity
from estafette_common.bus.finding import find
from estafette_common.bus.messages import events as messages
from estafette_common.bus.messages.message import Message
from estafette_common.bus.subjects import stream_of
from nats.js import JetStreamContext

TYPES: dict[str, type[Message]] = {
    each.TYPE: each
    for each in (
        messages.BitbucketEvent,
        messages.CronTicked,
        messages.GithubEvent,
        messages.GitPushed,
        messages.PipelineChanged,
        messages.PubSubReceived,
        messages.RegistryPushed,
        messages.ReleaseChanged,
    )
}
"""Events that lead to anything."""


class RecordedError(Exception):
    """There is no such event; the message says what was looked for."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and its id."""

    id: str
    message: Message


def from_file(text: str) -> Recorded:
    """Return the event of a file. Raises RecordedError.

    `type` and `data` are needed, or `data_base64`; of a webhook of GitHub also `subject`, as `event.github.issues`.
    """
    try:
        event = json.loads(text)
        kind, data = event["type"], _data(event)
        headers = {"github-event": str(event.get("subject", "")).rpartition(".")[2]}
        if kind == messages.GithubEvent.TYPE:
            name = unquote(headers["github-event"])
            return Recorded(str(event.get("id", "")), messages.GithubEvent(kind=name, payload=data))
        return Recorded(str(event.get("id", "")), TYPES[kind].decode(data, headers))
    except KeyError as error:
        raise RecordedError(f"the event has no {error}, or of a type that is none of {', '.join(TYPES)}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise RecordedError(f"the file is no CloudEvent in JSON: {error}") from None


def _data(event: Mapping[str, Any]) -> bytes:
    if "data_base64" in event:
        return base64.b64decode(event["data_base64"], validate=True)
    return json.dumps(event["data"]).encode()


async def of_delivery(jetstream: JetStreamContext, delivery: str) -> list[Recorded]:
    """Return what a webhook with this id, or the event of this id, became. Raises RecordedError and TimeoutError."""
    try:
        found = await find(jetstream, identity.heard_in(delivery))
        return [await _read(jetstream, each.subject, each.sequence, each.envelope.id) for each in found]
    except (nats.errors.Error, nats.js.errors.Error) as error:
        raise RecordedError(f"the stream cannot be read: {error!r}") from None


async def _read(jetstream: JetStreamContext, subject: str, sequence: int, id: str) -> Recorded:
    stored = await jetstream.get_msg(stream_of(subject), sequence)
    headers = stored.headers or {}
    kind = TYPES.get(headers.get("ce-type", ""))
    if kind is None:
        raise RecordedError(f"{id} is of type {headers.get('ce-type')}, which leads to nothing")
    message = kind.decode(stored.data or b"", headers)
    if isinstance(message, messages.GithubEvent) and message.dataref:
        message = message.model_copy(update={"payload": await _kept(jetstream, message.dataref)})
    return Recorded(id, message)


async def _kept(jetstream: JetStreamContext, reference: str) -> bytes:
    bucket, _, name = reference.partition("/")
    store = await jetstream.object_store(bucket)
    return (await store.get(name)).data or b""
