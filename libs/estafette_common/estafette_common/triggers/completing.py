"""Defaults of triggers."""

from dataclasses import replace

from estafette_common.triggers.model import (
    ACTION_OF,
    SELF,
    Action,
    BitbucketTrigger,
    BuildAction,
    Filter,
    GithubTrigger,
    GitTrigger,
    Owner,
    PipelineTrigger,
    ReleaseAction,
    ReleaseTrigger,
    RunAction,
    WrittenTrigger,
)

BRANCHES = "master|main"


def complete(trigger: WrittenTrigger, owner: Owner, *, default_branch: str = "master") -> WrittenTrigger:
    """Return the trigger with each default in the place of what is empty, and with the action of its owner.

    Before `self` is replaced: the version of a release action depends on it. `default_branch` is that of the server's
    manifest preferences.
    """
    kind = ACTION_OF[owner.kind]
    actions = trigger.actions if any(type(action) is kind for action in trigger.actions) else (*trigger.actions, kind())
    filters = tuple(_completed_filter(each) for each in trigger.filters)
    return replace(
        trigger,
        filters=filters,
        actions=tuple(
            _completed_action(action, filters, owner, default_branch) if type(action) is kind else action
            for action in actions
        ),
    )


def _completed_filter(filter: Filter) -> Filter:
    match filter:
        case PipelineTrigger():
            return replace(
                filter,
                event=filter.event or "finished",
                status=filter.status or "succeeded",
                branch=filter.branch or BRANCHES,
            )
        case ReleaseTrigger():
            return replace(filter, event=filter.event or "finished", status=filter.status or "succeeded")
        case GitTrigger():
            return replace(filter, event=filter.event or "push", branch=filter.branch or BRANCHES)
        case GithubTrigger() | BitbucketTrigger():
            return replace(filter, repository=filter.repository or SELF)
        case _:
            return filter


def _completed_action(action: Action, filters: tuple[Filter, ...], owner: Owner, default_branch: str) -> Action:
    match action:
        case BuildAction():
            return replace(action, branch=action.branch or default_branch)
        case ReleaseAction():
            return replace(action, target=owner.name, version=action.version or _version(filters))
        case RunAction():
            return replace(action, bot=owner.name, branch=action.branch or default_branch)


def _version(filters: tuple[Filter, ...]) -> str:
    own = any(isinstance(each, PipelineTrigger | ReleaseTrigger) and each.name == SELF for each in filters)
    return "same" if own else "latest"
