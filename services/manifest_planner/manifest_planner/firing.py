"""Which triggers an event fires, and which of those may go on. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from estafette_common.bus import identity
from estafette_common.bus.messages.events import DecisionMade
from estafette_common.bus.messages.triggers import Fire
from estafette_common.jobs.plan import Repository
from estafette_common.triggers import docker_policies, documents, event_documents
from estafette_common.triggers.docker_policies import ImageTag
from estafette_common.triggers.events import DockerEvent, Event, TriggerEvent
from estafette_common.triggers.matching import matches
from estafette_common.triggers.model import DockerTrigger, Trigger


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trigger that may wait for an event, and the pipeline whose manifest has it."""

    repository: Repository
    trigger: Trigger
    digest: str


def fires(candidates: Iterable[Candidate], event: Event, *, event_id: str, hops: int = 0) -> list[Fire]:
    """Return what an event fires of the triggers that may wait for it. `hops` is how many fired before it."""
    return [fire for candidate in candidates if (fire := fired(candidate, event, event_id=event_id, hops=hops))]


def fired(candidate: Candidate, event: Event, *, event_id: str, hops: int = 0) -> Fire | None:
    """Return what an event fires of one trigger, or nothing."""
    match = matches(candidate.trigger, event)
    if not match.fires:
        return None
    return Fire(
        repository=candidate.repository,
        trigger=documents.write(candidate.trigger),
        digest=candidate.digest,
        event=event_documents.write(TriggerEvent(event, name=candidate.trigger.name)),
        event_id=event_id,
        reason=match.reason,
        hops=hops + 1,
    )


def passed_over(candidate: Candidate, event: Event, *, event_id: str) -> DecisionMade | None:
    """Return the decision about a trigger that would have fired in time, and does not any more; else nothing."""
    match = matches(candidate.trigger, event)
    if not match.missed:
        return None
    return DecisionMade(
        subject_kind="trigger",
        cause_id=event_id,
        decision="ignored",
        reason=match.reason,
        repository=candidate.repository,
        ref="",
        revision="",
    )


def noted(trigger: DockerTrigger, event: DockerEvent, *, fires: bool) -> ImageTag | None:
    """Return the tag that a docker trigger deals with from now on; None when that does not change.

    Beside what it fired for, that is the first tag it could fire for, and what its tag points to once that is told.
    """
    found = ImageTag(event.tag, event.digest)
    known = event.handled or (ImageTag(trigger.tag) if trigger.tag else None)
    if fires or (known is None and _is_watched(trigger, found)):
        return found
    is_learned = known is not None and known.name == found.name and not known.digest and found.digest
    return found if is_learned else None


def _is_watched(trigger: DockerTrigger, found: ImageTag) -> bool:
    try:
        policy = docker_policies.parse(
            trigger.policy, match_tag=trigger.match_tag, match_pre_release=trigger.match_pre_release
        )
    except docker_policies.PolicyError:
        return False
    return not policy.why_not_watched(found)


def purpose(of: Candidate | Fire) -> str:
    """Return what the message of an event is answered for: a trigger of a pipeline, wherever that stands."""
    return f"fire/{of.repository.pipeline}/{of.digest}"


def message_id(fire: Fire) -> str:
    """Return the id of a firing: the same however often the event comes."""
    return identity.derive(fire.event_id, purpose(fire))


def push_of(fire: Fire) -> str:
    """Return the id of the push to its own pipeline that a firing is due to; empty where it is due to something else.

    It may be due to the webhook that told of the push, too.
    """
    pipeline = fire.repository.pipeline
    match fire.event:
        case {"git": {"event": "push", "repository": repository}} if repository == pipeline:
            return fire.event_id
        case {"github": {"event": "push", "repository": repository}} if repository == pipeline:
            return identity.derive(fire.event_id, identity.GIT_PUSH)
        case {"bitbucket": {"event": "repo:push", "repository": repository}} if repository == pipeline:
            return identity.derive(fire.event_id, identity.GIT_PUSH)
    return ""


def trigger_of(fire: Fire) -> Trigger:
    """Return the trigger that fired."""
    written = documents.read(fire.trigger)
    return Trigger(written.filters[0], written.actions[0], written.name)


def loop(fire: Fire, *, most_hops: int) -> str:
    """Return why a firing goes on no more: triggers fire each other in a circle; empty when it does."""
    if fire.hops <= most_hops:
        return ""
    return f"{most_hops} triggers fired one after the other already; they seem to fire each other"
