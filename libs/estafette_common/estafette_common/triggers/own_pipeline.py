"""`self` in triggers: the pipeline whose manifest they stand in."""

from collections.abc import Iterable
from dataclasses import replace

from estafette_common.triggers.model import (
    SELF,
    BitbucketTrigger,
    Filter,
    GithubTrigger,
    PipelineTrigger,
    ReleaseTrigger,
    Trigger,
    WrittenTrigger,
)


def replace_self(trigger: Trigger, pipeline: str) -> Trigger:
    """Return the trigger with `self` replaced by the pipeline, source/owner/repository.

    As in the reference, `git.repository` keeps it.
    """
    return replace(trigger, filter=_of(trigger.filter, pipeline))


def replace_written_self(trigger: WrittenTrigger, pipeline: str) -> WrittenTrigger:
    """Return a trigger as it is written, with `self` replaced likewise."""
    return replace(trigger, filters=tuple(_of(each, pipeline) for each in trigger.filters))


def _of(filter: Filter, pipeline: str) -> Filter:
    match filter:
        case PipelineTrigger(name=name) | ReleaseTrigger(name=name) if name == SELF:
            return replace(filter, name=pipeline)
        case GithubTrigger(repository=name) | BitbucketTrigger(repository=name) if name == SELF:
            return replace(filter, repository=pipeline)
        case _:
            return filter


def all_triggers(
    builds: Iterable[Trigger], releases: Iterable[Trigger], bots: Iterable[Trigger], *, pipeline: str
) -> tuple[Trigger, ...]:
    """Return the triggers of a manifest as they are matched: `self` replaced, builds first, then releases and bots."""
    return tuple(replace_self(trigger, pipeline) for group in (builds, releases, bots) for trigger in group)
