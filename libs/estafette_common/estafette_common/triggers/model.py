"""A trigger: one filter that events are matched against, and what is started when it fires.

The keys of the manifest are the names of the fields in camel case. An empty text stands for a key that is not written;
`completing` fills in the defaults.
"""

from dataclasses import dataclass
from typing import Literal

SELF = "self"
"""Stands for the pipeline that the trigger belongs to."""


@dataclass(frozen=True, slots=True)
class PipelineTrigger:
    """Builds of a pipeline; `name` is source/owner/repository, `event` is started or finished."""

    name: str = ""
    branch: str = ""
    event: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseTrigger:
    """Releases of a pipeline to a target; `name` is source/owner/repository, `event` is started or finished."""

    name: str = ""
    target: str = ""
    event: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class GitTrigger:
    """Pushes to a branch of a repository, source/owner/repository; `event` is push."""

    repository: str = ""
    branch: str = ""
    event: str = ""


@dataclass(frozen=True, slots=True)
class DockerTrigger:
    """New tags of an image, or a new image under the same tag, as `policy` says (see `docker_policies`).

    `tag` is the tag to start from. Without it the first tag seen is only noted, unless `fire_on_first`.
    Without a policy it never fires, as in the reference, which has no policies.
    """

    image: str = ""
    tag: str = ""
    event: str = ""
    policy: str = ""
    match_tag: bool = False
    match_pre_release: bool = True
    fire_on_first: bool = False


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """Minutes of a schedule (see `cron`), on the clock of `timezone`: a name as Europe/Amsterdam, or empty for UTC.

    `missed` is what becomes of minutes that come late: all, once (as without it) or none; see `missed`.
    """

    schedule: str = ""
    timezone: str = ""
    missed: str = ""


@dataclass(frozen=True, slots=True)
class PubSubTrigger:
    """Messages of a Google Pub/Sub topic."""

    project: str = ""
    topic: str = ""


@dataclass(frozen=True, slots=True)
class GithubTrigger:
    """Webhook events of GitHub, by their names as in X-GitHub-Event, of one repository."""

    events: tuple[str, ...] = ()
    repository: str = ""


@dataclass(frozen=True, slots=True)
class BitbucketTrigger:
    """Webhook events of Bitbucket, by their names as in X-Event-Key, of one repository."""

    events: tuple[str, ...] = ()
    repository: str = ""


Filter = (
    PipelineTrigger
    | ReleaseTrigger
    | GitTrigger
    | DockerTrigger
    | CronTrigger
    | PubSubTrigger
    | GithubTrigger
    | BitbucketTrigger
)


@dataclass(frozen=True, slots=True)
class BuildAction:
    """Starts a build of a branch."""

    branch: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseAction:
    """Starts a release to a target; `version` is latest, same, current or a version."""

    target: str = ""
    action: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class RunAction:
    """Starts a bot."""

    bot: str = ""
    branch: str = ""


Action = BuildAction | ReleaseAction | RunAction


@dataclass(frozen=True, slots=True)
class Trigger:
    """One filter and one action; a name makes the last matching build or release known to stages (see `named`)."""

    filter: Filter
    action: Action
    name: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """Where a trigger stands in a manifest, which decides its action; `name` is that of the release or bot."""

    kind: Literal["build", "release", "bot"]
    name: str = ""


BUILD = Owner("build")


@dataclass(frozen=True, slots=True)
class WrittenTrigger:
    """A trigger as it stands in a manifest: it may hold no filter or several, and any actions."""

    filters: tuple[Filter, ...] = ()
    actions: tuple[Action, ...] = ()
    name: str = ""


FILTERS: dict[str, type[Filter]] = {
    "pipeline": PipelineTrigger,
    "release": ReleaseTrigger,
    "git": GitTrigger,
    "docker": DockerTrigger,
    "cron": CronTrigger,
    "pubsub": PubSubTrigger,
    "github": GithubTrigger,
    "bitbucket": BitbucketTrigger,
}
"""The filters by their keys, in the order in which they are checked."""

ACTIONS: dict[str, type[Action]] = {"builds": BuildAction, "releases": ReleaseAction, "runs": RunAction}

ACTION_OF: dict[str, type[Action]] = {"build": BuildAction, "release": ReleaseAction, "bot": RunAction}
"""The action that belongs to each kind of owner."""


def key_of(part: Filter | Action) -> str:
    """Return the key of a filter or an action in the manifest."""
    return next(key for key, kind in (FILTERS | ACTIONS).items() if kind is type(part))
