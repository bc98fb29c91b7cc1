"""From messages to what triggers are matched against. Pure."""

import msgspec
from estafette_common.bus.messages import events as messages
from estafette_common.triggers.events import (
    BitbucketEvent,
    CronEvent,
    DockerEvent,
    GitEvent,
    GithubEvent,
    PipelineEvent,
    PubSubEvent,
    PubSubMessage,
    ReleaseEvent,
)

LARGEST_PAYLOAD = 100_000
"""Characters of a webhook's payload that a job is told: Linux gives a program no longer variable than 128 KiB."""


class _Repository(msgspec.Struct):
    full_name: str = ""


class _Webhook(msgspec.Struct):
    repository: _Repository | None = None


_WEBHOOK = msgspec.json.Decoder(_Webhook)


def of_push(push: messages.GitPushed) -> GitEvent | None:
    """Return a push to a branch; nothing for tags and for branches that are deleted."""
    if push.branch is None or push.deleted or not push.revision.strip("0"):
        return None
    return GitEvent(event="push", repository=push.repository.pipeline, branch=push.branch)


def of_build(build: messages.PipelineChanged) -> PipelineEvent:
    """Return the start or end of a build."""
    return PipelineEvent(
        build_version=build.version,
        repo_source=build.repository.source,
        repo_owner=build.repository.owner,
        repo_name=build.repository.name,
        repo_branch=build.branch,
        status=build.status,
        event=build.event,
    )


def of_release(release: messages.ReleaseChanged) -> ReleaseEvent:
    """Return the start or end of a release."""
    return ReleaseEvent(
        release_version=release.version,
        repo_source=release.repository.source,
        repo_owner=release.repository.owner,
        repo_name=release.repository.name,
        target=release.target,
        status=release.status,
        event=release.event,
    )


def of_tick(tick: messages.CronTicked, *, late: int) -> CronEvent:
    """Return a minute, and how many it comes late."""
    return CronEvent(time=tick.time, late=late)


def of_image(pushed: messages.RegistryPushed) -> DockerEvent:
    """Return a tag that was pushed."""
    return DockerEvent(event=pushed.event, image=pushed.image, tag=pushed.tag, digest=pushed.digest)


def of_pubsub(received: messages.PubSubReceived) -> PubSubEvent:
    """Return a message of a topic."""
    return PubSubEvent(
        project=received.project,
        topic=received.topic,
        message=PubSubMessage(
            data=received.data,
            attributes=received.attributes,
            message_id=received.message_id,
            publish_time=received.publish_time,
            ordering_key=received.ordering_key,
        ),
    )


def of_github(event: messages.GithubEvent, payload: bytes, *, delivery: str) -> GithubEvent:
    """Return a webhook of GitHub; one without a repository is of a whole installation.

    A payload too large for a variable is left out.
    """
    try:
        repository = _WEBHOOK.decode(payload).repository
    except msgspec.MsgspecError:
        repository = None
    text = payload.decode(errors="replace")
    return GithubEvent(
        event=event.kind,
        repository=f"github.com/{repository.full_name}" if repository and repository.full_name else "",
        delivery=delivery,
        payload=text if len(text) <= LARGEST_PAYLOAD else "",
    )


def of_bitbucket(event: messages.BitbucketEvent) -> BitbucketEvent:
    """Return a webhook of Bitbucket. A payload too large for a variable is left out."""
    return BitbucketEvent(
        event=event.kind,
        repository=event.repository,
        hook_uuid=event.hook_uuid,
        request_uuid=event.request_uuid,
        attempt_number=event.attempt_number,
        payload=event.payload if len(event.payload) <= LARGEST_PAYLOAD else "",
    )
