"""By what an event finds the triggers that may wait for it: an index, so that the others are not touched. Pure.

A trigger has a key for each thing that an event can name exactly; what it says as a pattern is looked at afterwards.
"""

import json
from dataclasses import dataclass
from hashlib import sha256

from estafette_common.triggers import cron, documents
from estafette_common.triggers.docker_policies import repository_of
from estafette_common.triggers.events import (
    BitbucketEvent,
    CronEvent,
    DockerEvent,
    Event,
    GitEvent,
    GithubEvent,
    ManualEvent,
    PipelineEvent,
    PubSubEvent,
    ReleaseEvent,
)
from estafette_common.triggers.model import (
    BitbucketTrigger,
    CronTrigger,
    DockerTrigger,
    Filter,
    GithubTrigger,
    GitTrigger,
    PipelineTrigger,
    PubSubTrigger,
    ReleaseTrigger,
    Trigger,
)

ANY = "*"
"""Key of Pub/Sub triggers whose project or topic is a pattern."""

LITERAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-~%/")
"""Characters that stand for themselves in a pattern and may be in the name of a topic."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When cron triggers are due. Those with the same one share a key, so that a minute asks it once."""

    schedule: str
    timezone: str = ""

    @property
    def key(self) -> str:
        """The key of the triggers that have it."""
        return f"{self.timezone} {self.schedule}"

    def is_due(self, event: CronEvent) -> bool:
        """Return whether the minute is one of the schedule; one that is broken has none."""
        try:
            return cron.is_due(cron.parse(self.schedule), event.time, cron.zone(self.timezone))
        except cron.CronError:
            return False


def digest(trigger: Trigger) -> str:
    """Return a name for a trigger: the same wherever it stands in its manifest."""
    return sha256(json.dumps(documents.write(trigger), sort_keys=True).encode()).hexdigest()


def keys_of(filter: Filter) -> frozenset[str]:
    """Return the keys under which a trigger is found."""
    match filter:
        case PipelineTrigger(name=name) | ReleaseTrigger(name=name) | GitTrigger(repository=name):
            return frozenset({name.casefold()})
        case DockerTrigger(image=image):
            return frozenset({repository_of(image)})
        case CronTrigger(schedule=schedule, timezone=timezone):
            return frozenset({Schedule(schedule, timezone).key})
        case PubSubTrigger(project=project, topic=topic):
            literal = LITERAL.issuperset(project + topic)
            return frozenset({f"{project} {topic}" if literal else ANY})
        case (
            GithubTrigger(events=events, repository=repository) | BitbucketTrigger(events=events, repository=repository)
        ):
            return frozenset(key for event in events for key in (_webhook(event, repository), _webhook(event, "")))


def keys_for(event: Event, due: tuple[Schedule, ...] = ()) -> tuple[str, ...]:
    """Return the keys of the triggers that an event may match; `due` are the schedules of a minute."""
    match event:
        case PipelineEvent(pipeline=name) | ReleaseEvent(pipeline=name) | GitEvent(repository=name):
            keys: tuple[str, ...] = (name.casefold(),)
        case DockerEvent(image=image):
            keys = (repository_of(image),)
        case CronEvent():
            keys = tuple(each.key for each in due)
        case PubSubEvent(project=project, topic=topic):
            keys = (f"{project} {topic}", ANY)
        case GithubEvent(event=name, repository=repository) | BitbucketEvent(event=name, repository=repository):
            keys = (_webhook(name, repository),)
        case ManualEvent():
            keys = ()
    return keys


def _webhook(event: str, repository: str) -> str:
    """Return the key of an event of a repository; without one, of an event of a whole installation."""
    return f"{event} {repository}"
