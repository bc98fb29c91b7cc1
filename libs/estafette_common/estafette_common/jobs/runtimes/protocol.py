"""What the local runtime and the builder host on the same machine say to each other.

Over a unix socket: one line of JSON asks, one line answers, and the connection is closed.
"""

import base64
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from estafette_common.jobs.plan import Plan

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of the longest line; a plan is far smaller."""


NOT_UNDERSTOOD = "not understood"
"""The error that repeating a request cannot change; any other may pass."""


class Start(BaseModel):
    """Start a builder for the plan unless there is or was one of its name."""

    verb: Literal["start"] = "start"
    plan: Plan
    key: str
    """Base64."""
    nats_credential: str = ""
    """Text of a NATS credentials file; empty: none is needed."""
    traceparent: str = ""

    def raw_key(self) -> bytes:
        """Return the key that opens the secrets in the plan."""
        return base64.b64decode(self.key)


class List(BaseModel):
    """Say which jobs there are."""

    verb: Literal["list"] = "list"


class Remove(BaseModel):
    """Stop the job if it runs and forget it."""

    verb: Literal["remove"] = "remove"
    name: str


Request = Annotated[Start | List | Remove, Field(discriminator="verb")]
REQUEST: TypeAdapter[Request] = TypeAdapter(Request)


class LocalJob(BaseModel):
    """A job of the host."""

    name: str
    kind: str
    job_id: str
    alive: bool
    created_at: datetime


class Reply(BaseModel):
    """The answer; `error` says why nothing was done."""

    error: str = ""
    jobs: list[LocalJob] = []
