"""Whether a trigger fires for an event, and why."""

from dataclasses import dataclass

from estafette_common.triggers import cron, docker_policies, missed, patterns
from estafette_common.triggers.docker_policies import ImageTag
from estafette_common.triggers.events import (
    BitbucketEvent,
    CronEvent,
    DockerEvent,
    Event,
    GitEvent,
    GithubEvent,
    PipelineEvent,
    PubSubEvent,
    ReleaseEvent,
)
from estafette_common.triggers.model import (
    BitbucketTrigger,
    CronTrigger,
    DockerTrigger,
    GithubTrigger,
    GitTrigger,
    PipelineTrigger,
    PubSubTrigger,
    ReleaseTrigger,
    Trigger,
    key_of,
)


@dataclass(frozen=True, slots=True)
class Match:
    """A decision, and the sentence that tells people its reason."""

    fires: bool
    reason: str
    missed: bool = False
    """Whether it would have fired in time, and comes too late to be made up for."""


def matches(trigger: Trigger, event: Event) -> Match:  # noqa: PLR0911  one line for each kind of trigger
    """Return whether the trigger fires; never raises: what is broken does not match, and the reason says so.

    `self` must be replaced before (see `own_pipeline`).
    """
    match trigger.filter, event:
        case PipelineTrigger() as wanted, PipelineEvent() as seen:
            return _pipeline(wanted, seen)
        case ReleaseTrigger() as wanted, ReleaseEvent() as seen:
            return _release(wanted, seen)
        case GitTrigger() as wanted, GitEvent() as seen:
            return _git(wanted, seen)
        case DockerTrigger() as wanted, DockerEvent() as seen:
            return _docker(wanted, seen)
        case CronTrigger() as wanted, CronEvent() as seen:
            return _cron(wanted, seen)
        case PubSubTrigger() as wanted, PubSubEvent() as seen:
            return _pubsub(wanted, seen)
        case (GithubTrigger() as wanted, GithubEvent() as seen) | (
            BitbucketTrigger() as wanted,
            BitbucketEvent() as seen,
        ):
            return _webhook(wanted, seen)
        case _:
            return Match(fires=False, reason=f"a {key_of(trigger.filter)} trigger does not wait for such an event")


def _pipeline(trigger: PipelineTrigger, event: PipelineEvent) -> Match:
    return _unless(
        _other_name("pipeline", trigger.name, event.pipeline)
        or _unselected("event", trigger.event, event.event)
        or _unselected_status(trigger, event.status)
        or _unselected("branch", trigger.branch, event.repo_branch),
        fires=f"build of {event.pipeline} on branch {event.repo_branch}: {event.event}, {event.status}",
    )


def _release(trigger: ReleaseTrigger, event: ReleaseEvent) -> Match:
    return _unless(
        _other_name("pipeline", trigger.name, event.pipeline)
        or _unselected("event", trigger.event, event.event)
        or _unselected_status(trigger, event.status)
        or _unselected("target", trigger.target, event.target),
        fires=f"release of {event.pipeline} to {event.target}: {event.event}, {event.status}",
    )


def _git(trigger: GitTrigger, event: GitEvent) -> Match:
    return _unless(
        _other_name("repository", trigger.repository, event.repository)
        or _unselected("event", trigger.event, event.event)
        or _unselected("branch", trigger.branch, event.branch),
        fires=f"{event.event} to {event.repository} on branch {event.branch}",
    )


def _docker(trigger: DockerTrigger, event: DockerEvent) -> Match:
    if why_not := _other_image(trigger.image, event.image) or _unselected("event", trigger.event or ".*", event.event):
        return Match(fires=False, reason=why_not)
    found = ImageTag(event.tag, event.digest)
    known = event.handled or (ImageTag(trigger.tag) if trigger.tag else None)
    try:
        policy = docker_policies.parse(
            trigger.policy, match_tag=trigger.match_tag, match_pre_release=trigger.match_pre_release
        )
    except docker_policies.PolicyError as error:
        return Match(fires=False, reason=str(error))
    if known is not None:
        return _unless(policy.why_no_update(known, found), fires=f"{found.name!r} is an update of {known.name!r}")
    if not trigger.fire_on_first:
        return Match(fires=False, reason=f"{found.name!r} is the first tag seen; later ones are compared with it")
    return _unless(policy.why_not_watched(found), fires=f"{found.name!r} is the first tag seen")


def _cron(trigger: CronTrigger, event: CronEvent) -> Match:
    try:
        schedule, zone = cron.parse(trigger.schedule), cron.zone(trigger.timezone)
    except cron.CronError as error:
        return Match(fires=False, reason=str(error))
    time = event.time.isoformat(sep=" ", timespec="minutes")
    clock = f" in {trigger.timezone}" if trigger.timezone else ""
    if not cron.is_due(schedule, event.time, zone):
        return Match(fires=False, reason=f"{time} is not a minute of {trigger.schedule!r}{clock}")
    why_not = missed.why_not(trigger.missed, schedule, event.time, event.late, zone)
    if why_not:
        return Match(fires=False, reason=f"{time} {why_not}", missed=True)
    return Match(fires=True, reason=f"{time} is a minute of {trigger.schedule!r}{clock}")


def _pubsub(trigger: PubSubTrigger, event: PubSubEvent) -> Match:
    return _unless(
        _unequal("project", trigger.project, event.project) or _unequal("topic", trigger.topic, event.topic),
        fires=f"message in topic {event.topic} of project {event.project}",
    )


def _webhook(trigger: GithubTrigger | BitbucketTrigger, event: GithubEvent | BitbucketEvent) -> Match:
    if event.event not in trigger.events:
        return Match(fires=False, reason=f"event {event.event!r} is none of {', '.join(trigger.events) or 'nothing'}")
    if event.repository and event.repository != trigger.repository:
        return Match(fires=False, reason=f"repository {event.repository!r} is not {trigger.repository!r}")
    return Match(fires=True, reason=f"{event.event} of {event.repository or 'the installation'}")


def _unless(why_not: str, *, fires: str) -> Match:
    return Match(fires=False, reason=why_not) if why_not else Match(fires=True, reason=fires)


def _other_name(what: str, wanted: str, seen: str) -> str:
    return "" if wanted.casefold() == seen.casefold() else f"{what} {seen!r} is not {wanted!r}"


def _other_image(wanted: str, seen: str) -> str:
    same = docker_policies.repository_of(wanted) == docker_policies.repository_of(seen)
    return "" if same else f"image {seen!r} is not {wanted!r}"


def _unselected(what: str, pattern: str, text: str) -> str:
    try:
        return "" if patterns.selects(pattern, text) else f"{what} {text!r} does not match {pattern!r}"
    except patterns.PatternError as error:
        return f"{what}: {error}"


def _unselected_status(trigger: PipelineTrigger | ReleaseTrigger, status: str) -> str:
    """Compare the status; what has only started has none that counts."""
    return _unselected("status", trigger.status, status) if trigger.event == "finished" else ""


def _unequal(what: str, pattern: str, text: str) -> str:
    """Compare without the prefixes `=~` and `!~`, which Pub/Sub triggers do not know."""
    try:
        return "" if patterns.whole(pattern, text) else f"{what} {text!r} does not match {pattern!r}"
    except patterns.PatternError as error:
        return f"{what}: {error}"
