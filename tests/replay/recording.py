"""The recorded stream: what was committed, and each message as it travelled, window by window.

A window is what may have happened at the same time: no order of its messages is more right than another. In
`stream.jsonl` each line is one commit or one message, with the number of its window.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from estafette_common.bus.messages.message import Encoded, Envelope, Message

FILE = Path(__file__).parent / "stream.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The newest commit of a branch of a repository of acme."""

    name: str
    branch: str
    files: Mapping[str, str]
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A message as it travels."""

    subject: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Window:
    """What may have happened at the same time: first the commits, then the messages in any order."""

    commits: list[Commit] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)


def tell(message: Message | Encoded, *, id: str, at: datetime) -> Told:
    """Return a message as it travels; without an id that a stream would know a repeat by."""
    envelope = Envelope(id=id, type=message.TYPE, source="record", time=at)
    headers = {**envelope.headers(content_type=message.CONTENT_TYPE), **message.headers}
    del headers["Nats-Msg-Id"]
    return Told(subject=message.subject, headers=headers, body=message.encode())


def write(windows: Iterable[Window], file: Path = FILE) -> None:
    """Write a stream."""
    lines = [line for number, window in enumerate(windows) for line in _lines(number, window)]
    file.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def read(file: Path = FILE) -> list[Window]:
    """Return the windows of a stream, first first."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [_window(list(group)) for _, group in groupby(lines, key=lambda line: line["window"])]


def _lines(number: int, window: Window) -> Iterable[dict[str, Any]]:
    for commit in window.commits:
        yield {
            "window": number,
            "commit": {
                "name": commit.name,
                "branch": commit.branch,
                "files": commit.files,
                "revision": commit.revision,
            },
        }
    for told in window.told:
        try:
            body = {"text": told.body.decode()}
        except UnicodeDecodeError:
            body = {"base64": base64.b64encode(told.body).decode()}
        yield {"window": number, "subject": told.subject, "headers": told.headers, **body}


def _window(lines: list[dict[str, Any]]) -> Window:
    return Window(
        [Commit(**line["commit"]) for line in lines if "commit" in line],
        [
            Told(subject=line["subject"], headers=line["headers"], body=_body(line))
            for line in lines
            if "subject" in line
        ],
    )


def _body(line: Mapping[str, str]) -> bytes:
    return line["text"].encode() if "text" in line else base64.b64decode(line["base64"])
