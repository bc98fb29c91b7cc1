"""`self` in triggers: the pipeline whose manifest they stand in."""

from collections.abc import Iterable
from dataclasses import replace

from estafette_common.triggers.model import (
    SELF,
    BitbucketTrigger,
    GithubTrigger,
    PipelineTrigger,
    ReleaseTrigger,
    Trigger,
)


def replace_self(trigger: Trigger, pipeline: str) -> Trigger:
    """Return the trigger with `self` replaced by the pipeline, source/owner/repository.

    As in the reference, `git.repository` keeps it.
    """
    match trigger.filter:
        case PipelineTrigger(name=name) | ReleaseTrigger(name=name) as filter if name == SELF:
            return replace(trigger, filter=replace(filter, name=pipeline))
        case GithubTrigger(repository=name) | BitbucketTrigger(repository=name) as filter if name == SELF:
            return replace(trigger, filter=replace(filter, repository=pipeline))
        case _:
            return trigger


def all_triggers(
    builds: Iterable[Trigger], releases: Iterable[Trigger], bots: Iterable[Trigger], *, pipeline: str
) -> tuple[Trigger, ...]:
    """Return the triggers of a manifest as they are matched: `self` replaced, builds first, then releases and bots."""
    return tuple(replace_self(trigger, pipeline) for group in (builds, releases, bots) for trigger in group)
