"""EVENTS: what happened outside, what was decided about it, and what became of pipelines."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self
from urllib.parse import unquote

import zstandard
from pydantic import BaseModel, ConfigDict, Field

from estafette_common.bus import subjects
from estafette_common.bus.messages.message import Message
from estafette_common.bus.subjects import token
from estafette_common.jobs.lifecycle import Kind, Outcome, Status
from estafette_common.jobs.plan import Repository

LARGEST_PAYLOAD = 32 * 1024 * 1024
"""Bytes of the largest payload that is decompressed; GitHub caps them at 25 MB."""

_COMPRESSOR = zstandard.ZstdCompressor(level=1)


class GithubEvent(Message):
    """GitHub told something. Told by webhook-ingress once verified.

    The body is GitHub's payload byte for byte, compressed with zstd (header `content-encoding: zstd`): a payload of
    25 KB shrinks to 3 KB, which nearly doubles what the ingress takes.
    """

    TYPE: ClassVar = "estafette.github.event.v1"
    SUBJECT: ClassVar = subjects.GITHUB_EVENT

    kind: str
    """GitHub's name of the event, from `X-GitHub-Event`; in a header, not in the body."""
    payload: bytes = b""
    dataref: str = ""
    """Where the payload lies instead, when it is larger than a message may be: `payloads/<name>`, object store."""

    @property
    def headers(self) -> dict[str, str]:
        """The kind, and CloudEvents' `dataref` where the payload lies elsewhere."""
        reference = {"ce-dataref": self.dataref} if self.dataref else {}
        return {"github-event": token(self.kind), "content-encoding": "zstd", **reference}

    def encode(self) -> bytes:
        """Return the payload, compressed."""
        return _COMPRESSOR.compress(self.payload) if self.payload else b""

    @classmethod
    def decode(cls, body: bytes, headers: Mapping[str, str]) -> Self:
        """Return the event of a payload."""
        kind = unquote(headers.get("github-event", "unknown"))
        payload = zstandard.decompress(body, max_output_size=LARGEST_PAYLOAD) if body else b""
        return cls(kind=kind, payload=payload, dataref=headers.get("ce-dataref", ""))


class Person(BaseModel):
    """Who wrote a commit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = ""
    email: str = ""
    username: str = ""


class Commit(BaseModel):
    """A commit that came with a push."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    message: str
    author: Person


class GitPushed(Message):
    """Somebody pushed to, made or deleted a branch or a tag. Told by webhook-ingress, in no forge's dialect."""

    TYPE: ClassVar = "estafette.git.pushed.v1"
    SUBJECT: ClassVar = subjects.GIT_PUSH

    repository: Repository
    ref: str
    """`refs/heads/main`, `refs/tags/1.0`"""
    revision: str
    """What the ref points to now; forty zeros when it was deleted."""
    deleted: bool = False
    commits: tuple[Commit, ...] = ()
    """At most the last twenty, oldest first."""
    pushed_by: str = ""
    installation: int | None = None
    """Of the GitHub App, where the push came through one."""

    @property
    def branch(self) -> str | None:
        """The branch that was pushed, or nothing when it was a tag or something else."""
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else None


class CronTicked(Message):
    """A minute began. Told by cron-sender, one for every minute, in order, without gap or double."""

    TYPE: ClassVar = "estafette.cron.ticked.v1"
    SUBJECT: ClassVar = subjects.CRON_TICK

    time: datetime
    """The minute, UTC."""
    late: int = 0
    """How many minutes ago that was when it was told: 0, unless cron-sender was away."""


class PipelineEvent(StrEnum):
    """What a pipeline can do; the words of the reference's triggers."""

    STARTED = "started"
    FINISHED = "finished"


class PipelineChanged(Message):
    """A build was created (`started`) or reached its end (`finished`). Told by manifest-planner, once each."""

    TYPE: ClassVar = "estafette.pipeline.changed.v1"
    SUBJECT: ClassVar = subjects.PIPELINE_CHANGED

    event: PipelineEvent
    build_id: str
    repository: Repository
    branch: str
    revision: str
    version: str
    status: Status
    outcome: Outcome | None = None
    """How it ended; only when finished."""
    reason: str = ""
    """For people: why it ended so, where that needs words."""
    installation: int | None = None
    hops: int = 0
    """How many triggers fired one after the other until there was this build."""


class ReleaseChanged(Message):
    """A release was created (`started`) or reached its end (`finished`). Told by manifest-planner, once each."""

    TYPE: ClassVar = "estafette.release.changed.v1"
    SUBJECT: ClassVar = subjects.RELEASE_CHANGED

    event: PipelineEvent
    release_id: str
    repository: Repository
    target: str
    action: str = ""
    version: str
    build_id: str
    """Of the build that is released."""
    branch: str
    revision: str
    status: Status
    outcome: Outcome | None = None
    """How it ended; only when finished."""
    reason: str = ""
    """For people: why it ended so, where that needs words."""
    installation: int | None = None
    hops: int = 0
    """How many triggers fired one after the other until there was this release."""


class RegistryPushed(Message):
    """A tag of an image was pushed to, or found in, a registry."""

    TYPE: ClassVar = "estafette.registry.pushed.v1"
    SUBJECT: ClassVar = subjects.REGISTRY_PUSH

    event: str = "push"
    image: str
    """Without tag: `golang`, `ghcr.io/acme/shop`"""
    tag: str
    digest: str = ""
    """Of what the tag points to; empty when it is not told."""


class PubSubReceived(Message):
    """Google Pub/Sub delivered a message."""

    TYPE: ClassVar = "estafette.pubsub.received.v1"
    SUBJECT: ClassVar = subjects.PUBSUB_MESSAGE

    project: str
    topic: str
    data: str = ""
    """Base64"""
    attributes: dict[str, str] = Field(default_factory=dict)
    message_id: str = ""
    publish_time: str = ""
    """RFC 3339"""
    ordering_key: str = ""


class BitbucketEvent(Message):
    """Bitbucket told something."""

    TYPE: ClassVar = "estafette.bitbucket.event.v1"
    SUBJECT: ClassVar = subjects.BITBUCKET_EVENT

    kind: str
    """Bitbucket's name of the event, from `X-Event-Key`: `pullrequest:created`"""
    repository: str = ""
    """`bitbucket.org/acme/shop`; empty for events of a whole workspace."""
    hook_uuid: str = ""
    request_uuid: str = ""
    attempt_number: str = ""
    payload: str = ""
    """JSON"""


class DecisionMade(Message):
    """Why something was started, or was not. Told by manifest-planner."""

    TYPE: ClassVar = "estafette.decision.made.v1"
    SUBJECT: ClassVar = subjects.DECISION_MADE

    subject_kind: str
    """What was decided about: `push`, `trigger`, `command`, `build`, `release`, `bot` or `repository`."""
    cause_id: str = ""
    """The `ce-id` of the event or command that was decided on; several decisions may have the same."""
    decision: str
    """`started`, `waiting`, `superseded`, `canceled`, `ignored` or `rejected`"""
    reason: str
    """For people."""
    repository: Repository
    ref: str
    revision: str
    job_kind: Kind | None = None
    job_id: str | None = None


class CleaningAction(StrEnum):
    """What hanging-job-cleaner does where builds and jobs disagree."""

    LOST = "lost"
    CANCELED = "canceled"
    TOLD_AGAIN = "told-again"
    JOB_REMOVED = "job-removed"
    LEFTOVER_REMOVED = "leftover-removed"
    """What a job left in a cluster: a Secret or a pod without it."""
    NAMESPACE_SCALED_DOWN = "namespace-scaled-down"
    NAMESPACE_REMOVED = "namespace-removed"


class Cleaned(Message):
    """Something was left over or missing, and is mended. Told by hanging-job-cleaner, before it does so."""

    TYPE: ClassVar = "estafette.cleaned.v1"
    SUBJECT: ClassVar = subjects.CLEANED

    action: CleaningAction
    kind: str = ""
    """Of the job that it is about; empty where that is not known."""
    job_id: str = ""
    name: str = ""
    """Of the job, leftover or namespace that is removed or scaled down."""
    reason: str
    """For people: what was found."""
    dry_run: bool = False
    """Whether it is only told, and nothing done."""
