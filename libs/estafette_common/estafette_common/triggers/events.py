"""What triggers are matched against. The fields are those of the events that the reference hands to stages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from estafette_common.triggers.docker_policies import ImageTag


@dataclass(frozen=True, slots=True)
class PipelineEvent:
    """A build started or finished; `status` is succeeded, failed or another status of a build."""

    build_version: str = ""
    repo_source: str = ""
    repo_owner: str = ""
    repo_name: str = ""
    repo_branch: str = ""
    status: str = ""
    event: str = ""

    @property
    def pipeline(self) -> str:
        """source/owner/repository"""
        return f"{self.repo_source}/{self.repo_owner}/{self.repo_name}"


@dataclass(frozen=True, slots=True)
class ReleaseEvent:
    """A release started or finished."""

    release_version: str = ""
    repo_source: str = ""
    repo_owner: str = ""
    repo_name: str = ""
    target: str = ""
    status: str = ""
    event: str = ""

    @property
    def pipeline(self) -> str:
        """source/owner/repository"""
        return f"{self.repo_source}/{self.repo_owner}/{self.repo_name}"


@dataclass(frozen=True, slots=True)
class GitEvent:
    """A push; `repository` is source/owner/repository."""

    event: str = ""
    repository: str = ""
    branch: str = ""


@dataclass(frozen=True, slots=True)
class DockerEvent:
    """A tag of an image was pushed or found in its registry.

    `digest` is empty when a webhook does not tell it. `handled` is what the trigger at hand dealt with last, and
    nothing when it has seen no tag before: it differs from trigger to trigger.
    """

    event: str = ""
    image: str = ""
    tag: str = ""
    digest: str = ""
    handled: ImageTag | None = None


@dataclass(frozen=True, slots=True)
class CronEvent:
    """A minute; `time` has a zone (one without is taken as UTC), its seconds are ignored.

    `late` is given when it was missed: how many minutes the clock had moved on when it was looked at.
    """

    time: datetime
    late: int = 0


@dataclass(frozen=True, slots=True)
class PubSubMessage:
    """A message as Google Pub/Sub delivers it; `data` is base64, `publish_time` RFC 3339."""

    data: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    message_id: str = ""
    publish_time: str = ""
    ordering_key: str = ""


@dataclass(frozen=True, slots=True)
class PubSubEvent:
    """A message came in."""

    project: str = ""
    topic: str = ""
    message: PubSubMessage = field(default_factory=PubSubMessage)


@dataclass(frozen=True, slots=True)
class GithubEvent:
    """A webhook of GitHub; `repository` is empty for events of a whole installation, `payload` is JSON."""

    event: str = ""
    repository: str = ""
    delivery: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True)
class BitbucketEvent:
    """A webhook of Bitbucket; `payload` is JSON."""

    event: str = ""
    repository: str = ""
    hook_uuid: str = ""
    request_uuid: str = ""
    attempt_number: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True)
class ManualEvent:
    """Somebody started it; no trigger waits for this."""

    user_id: str = ""


Event = (
    PipelineEvent
    | ReleaseEvent
    | GitEvent
    | DockerEvent
    | CronEvent
    | PubSubEvent
    | GithubEvent
    | BitbucketEvent
    | ManualEvent
)


@dataclass(frozen=True, slots=True)
class TriggerEvent:
    """An event as a build, release or bot gets it: the one that fired, or what a named trigger remembers."""

    event: Event
    name: str = ""
    fired: bool = True
