"""Triggers with a name: stages see the last build or release that matched, whatever started them."""

from dataclasses import dataclass

from estafette_common.triggers.model import PipelineTrigger, ReleaseTrigger, Trigger


@dataclass(frozen=True, slots=True)
class LastBuild:
    """The newest succeeded build of a pipeline on one of the branches, known to stages by `name`."""

    name: str
    pipeline: str
    branches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LastRelease:
    """The newest succeeded release of a pipeline to a target, known to stages by `name`."""

    name: str
    pipeline: str
    target: str


def remembered(trigger: Trigger) -> LastBuild | LastRelease | None:
    """Return what to look up for a build, release or bot of the trigger's manifest; None for most triggers.

    `self` must be replaced before. The branches are the pattern split at `|`, as in the reference: other patterns
    name no branch. What is found becomes a TriggerEvent that has the name and did not fire.
    """
    match trigger.filter:
        case PipelineTrigger(name=pipeline, branch=branch, event="finished") if trigger.name:
            return LastBuild(trigger.name, pipeline, tuple(part.strip() for part in branch.split("|")))
        case ReleaseTrigger(name=pipeline, target=target, event="finished") if trigger.name:
            return LastRelease(trigger.name, pipeline, target)
        case _:
            return None
