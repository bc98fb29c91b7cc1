"""What is wrong with a trigger: all of it, each with its place."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from estafette_common.triggers import cron, docker_policies, missed, patterns
from estafette_common.triggers.model import (
    ACTION_OF,
    FILTERS,
    SELF,
    BitbucketTrigger,
    BuildAction,
    CronTrigger,
    DockerTrigger,
    Filter,
    GithubTrigger,
    GitTrigger,
    Owner,
    PipelineTrigger,
    PubSubTrigger,
    ReleaseAction,
    ReleaseTrigger,
    RunAction,
    Trigger,
    WrittenTrigger,
    key_of,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: `path` within the trigger (empty for the whole), `message` with what to write instead.

    What the reference accepts and then never does is a warning.
    """

    rule: str
    path: str
    message: str
    severity: Literal["error", "warning"] = "error"


class InvalidTriggerError(Exception):
    """A trigger is not valid; `findings` says why."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = findings


def check(trigger: WrittenTrigger, owner: Owner) -> tuple[Finding, ...]:
    """Return what is wrong with a trigger that has its defaults, in the order in which the reference looks."""
    return tuple(_findings(trigger, owner))


def checked(trigger: WrittenTrigger, owner: Owner) -> Trigger:
    """Return the trigger with its one filter and the action of its owner; InvalidTriggerError when it is not valid."""
    errors = tuple(finding for finding in _findings(trigger, owner) if finding.severity == "error")
    if errors:
        raise InvalidTriggerError(errors)
    action = next(action for action in trigger.actions if type(action) is ACTION_OF[owner.kind])
    return Trigger(trigger.filters[0], action, trigger.name)


def _findings(trigger: WrittenTrigger, owner: Owner) -> Iterator[Finding]:
    if not trigger.filters:
        yield Finding("trigger_without_type", "", f"nothing to wait for; write one of {', '.join(FILTERS)}")
        return
    for each in trigger.filters:
        yield from _in_filter(each)
    if len(trigger.filters) > 1:
        keys = ", ".join(key_of(each) for each in trigger.filters)
        yield Finding("trigger_multiple_types", "", f"more than one of {keys}; write a trigger for each")
    yield from _in_actions(trigger, owner)


def _in_filter(filter: Filter) -> Iterator[Finding]:
    match filter:
        case PipelineTrigger() | ReleaseTrigger():
            yield from _in_run(filter)
        case GitTrigger():
            yield from _in_git(filter)
        case DockerTrigger():
            yield from _in_docker(filter)
        case CronTrigger():
            yield from _in_cron(filter)
        case PubSubTrigger():
            yield from _in_pubsub(filter)
        case GithubTrigger() | BitbucketTrigger():
            if not filter.events:
                key = key_of(filter)
                yield Finding(f"{key}_events", f"{key}.events", f"{key}.events: missing; list at least one event")


def _in_run(filter: PipelineTrigger | ReleaseTrigger) -> Iterator[Finding]:
    key = key_of(filter)
    if filter.event not in {"started", "finished"}:
        yield _wrong(f"{key}.event", filter.event, "started or finished")
    if filter.event == "finished" and filter.status not in {"succeeded", "failed"}:
        yield _wrong(f"{key}.status", filter.status, "succeeded or failed")
    if not filter.name:
        yield _missing(f"{key}.name", "self or source/owner/repository, as github.com/estafette/estafette-ci")
    if isinstance(filter, PipelineTrigger):
        yield from _in_pattern("pipeline.branch", filter.branch)
    elif not filter.target:
        yield _missing("release.target", "the name of a release of that pipeline")
    else:
        yield from _in_pattern("release.target", filter.target)


def _in_git(filter: GitTrigger) -> Iterator[Finding]:
    if filter.event != "push":
        yield _wrong("git.event", filter.event, "push")
    if not filter.repository:
        yield _missing("git.repository", "source/owner/repository, as github.com/estafette/estafette-ci")
    if filter.repository == SELF:
        message = "git.repository: 'self' is not replaced here and never fires; write source/owner/repository"
        yield Finding("git_self", "git.repository", message, "warning")
    yield from _in_pattern("git.branch", filter.branch)


def _in_docker(filter: DockerTrigger) -> Iterator[Finding]:
    if not filter.policy:
        message = "docker.policy: missing, so this never fires; write one, as minor"
        yield Finding("docker_policy", "docker.policy", message, "warning")
        return
    try:
        docker_policies.parse(filter.policy)
    except docker_policies.PolicyError as error:
        yield Finding("docker_policy", "docker.policy", str(error))
    if not filter.image:
        yield _missing("docker.image", "the image to watch")


def _in_cron(filter: CronTrigger) -> Iterator[Finding]:
    try:
        cron.parse(filter.schedule)
    except cron.CronError as error:
        yield Finding("cron_invalid" if filter.schedule else "cron_missing", "cron.schedule", str(error))
    try:
        cron.zone(filter.timezone)
    except cron.CronError as error:
        yield Finding("cron_timezone", "cron.timezone", str(error))
    if filter.missed and filter.missed not in missed.POLICIES:
        yield _wrong("cron.missed", filter.missed, " or ".join(missed.POLICIES))


def _in_pubsub(filter: PubSubTrigger) -> Iterator[Finding]:
    for name, pattern in (("project", filter.project), ("topic", filter.topic)):
        path = f"pubsub.{name}"
        if not pattern:
            yield _missing(path, f"the {name} of the messages to wait for")
        yield from _in_pattern(path, pattern)


def _in_actions(trigger: WrittenTrigger, owner: Owner) -> Iterator[Finding]:
    actions = {type(action): action for action in trigger.actions}
    wanted = ACTION_OF[owner.kind]
    if wanted not in actions:
        key = key_of(wanted())
        yield Finding(f"{owner.kind}_trigger_without_action", "", f"what to start is missing; write {key}")
    for action in trigger.actions:
        if type(action) is not wanted:
            yield _stray(action, owner)
    release = actions.get(ReleaseAction)
    if owner.kind == "release" and isinstance(release, ReleaseAction) and release.target != owner.name:
        yield _wrong("releases.target", release.target, owner.name, rule="release_action_target")


def _stray(action: BuildAction | ReleaseAction | RunAction, owner: Owner) -> Finding:
    key = key_of(action)
    message = f"{key}: has no effect on a trigger of a {owner.kind}; leave it out"
    if owner.kind == "bot" or isinstance(action, RunAction):
        return Finding("trigger_stray_action", key, message, "warning")
    return Finding(f"{owner.kind}_trigger_with_{key.removesuffix('s')}_action", key, message)


def _in_pattern(path: str, pattern: str) -> Iterator[Finding]:
    try:
        patterns.check(pattern)
    except patterns.PatternError as error:
        yield Finding("trigger_pattern", path, f"{path}: {error}; the trigger never fires", "warning")


def _missing(path: str, wanted: str) -> Finding:
    return Finding(path.replace(".", "_"), path, f"{path}: missing; write {wanted}")


def _wrong(path: str, value: str, wanted: str, *, rule: str = "") -> Finding:
    return Finding(rule or path.replace(".", "_"), path, f"{path}: {value!r}; write {wanted}")
