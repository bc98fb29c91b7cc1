"""Events as stages and the reference's API have them: mappings with its names of kinds and fields."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

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
    PubSubMessage,
    ReleaseEvent,
    TriggerEvent,
)

KINDS: dict[type[Event], str] = {
    PipelineEvent: "pipeline",
    ReleaseEvent: "release",
    GitEvent: "git",
    DockerEvent: "docker",
    CronEvent: "cron",
    PubSubEvent: "pubsub",
    GithubEvent: "github",
    BitbucketEvent: "bitbucket",
    ManualEvent: "manual",
}

SPELT_OTHERWISE = {"hook_uuid": "hookUUID", "request_uuid": "requestUUID", "user_id": "userID"}
OURS = {"digest", "handled", "late"}
"""Fields of docker and cron events that the reference does not have."""


def write(event: TriggerEvent) -> dict[str, Any]:
    """Return the mapping of an event: `fired`, `name` where it has one, and its fields under its kind."""
    name = {"name": event.name} if event.name else {}
    return {"fired": event.fired, **name, KINDS[type(event.event)]: _write(event.event)}


def _write(part: Event | PubSubMessage) -> dict[str, Any]:
    return {_key(each.name): _value(getattr(part, each.name)) for each in fields(part) if each.name not in OURS}


def _value(value: Any) -> Any:
    match value:
        case PubSubMessage():
            return _write(value)
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case str():
            return value
    return dict(value)


def _key(name: str) -> str:
    first, *others = name.split("_")
    return SPELT_OTHERWISE.get(name) or first + "".join(word.capitalize() for word in others)
