"""Every kind of trigger with every action, named or not, of the own pipeline and of others, through real servers."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from estafette_common.bus.messages.events import (
    BitbucketEvent,
    Commit,
    CronTicked,
    GithubEvent,
    GitPushed,
    Person,
    PipelineChanged,
    PubSubReceived,
    RegistryPushed,
    ReleaseChanged,
)
from estafette_common.bus.messages.message import Message
from estafette_common.jobs.lifecycle import Status
from estafette_common.jobs.plan import Repository
from estafette_local.waiting import eventually

STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
ENDED = {"branch": "main", "revision": "a" * 40, "version": "0.0.1", "status": Status.SUCCEEDED}

OWNERS = {
    "builds": f"triggers: [{{TRIGGER}}]\n{STAGES}",
    "releases": f"releases: {{production: {{triggers: [{{TRIGGER}}], {STAGES}}}}}\n{STAGES}",
    "runs": f"bots: {{tidy: {{triggers: [{{TRIGGER}}], {STAGES}}}}}\n{STAGES}",
}
TABLES = {"builds": "builds", "releases": "releases", "runs": "bots"}


def place(name: str) -> Repository:
    return Repository(source="github.com", owner="acme", name=name)


def built(name: str) -> PipelineChanged:
    return PipelineChanged(event="finished", build_id="1", repository=place(name), **ENDED)


def released(name: str, target: str = "tooling") -> ReleaseChanged:
    told = {"release_id": "1", "build_id": "1", "target": target, **ENDED}
    return ReleaseChanged(event="finished", repository=place(name), **told)


def told_by_github(event: str, name: str) -> GithubEvent:
    return GithubEvent(kind=event, payload=json.dumps({"repository": {"full_name": f"acme/{name}"}}).encode())


def told_by_bitbucket(event: str, name: str) -> BitbucketEvent:
    return BitbucketEvent(kind=event, repository=place(name).pipeline, payload="{}")


def minute(hour: int) -> CronTicked:
    return CronTicked(time=datetime(2026, 11, 20, hour, 0, tzinfo=UTC))


def pushed(name: str, ref: str = "refs/heads/main", revision: str = "b" * 40) -> GitPushed:
    """Return a push that is no build of its own repository."""
    commit = Commit(message="Say nothing [skip ci]", author=Person())
    return GitPushed(repository=place(name), ref=ref, revision=revision, commits=(commit,))


CASES: dict[str, tuple[str, list[Message], list[Message]]] = {
    "pipeline": ("pipeline: {name: github.com/acme/lib}", [built("lib")], [built("other"), released("lib")]),
    "pipeline-self": ("pipeline: {name: self}", [built("OWN")], [built("other"), released("OWN")]),
    "release": (
        "release: {name: github.com/acme/lib, target: tooling}",
        [released("lib")],
        [released("other"), released("lib", "staging"), built("lib")],
    ),
    "release-self": ("release: {name: self, target: tooling}", [released("OWN")], [released("other"), built("OWN")]),
    "git": (
        "git: {repository: github.com/acme/lib}",
        [pushed("lib")],
        [
            pushed("other"),
            pushed("lib", "refs/heads/feature"),
            pushed("lib", "refs/tags/1.0"),
            pushed("lib", revision="0" * 40),
        ],
    ),
    "docker": (
        "docker: {image: golang, tag: '1.21.0', policy: minor}",
        [RegistryPushed(image="golang", tag="1.22.0")],
        [RegistryPushed(image="golang", tag="2.0.0"), RegistryPushed(image="rust", tag="1.22.0")],
    ),
    "cron": ("cron: {schedule: '0 3 * * *'}", [minute(3)], [minute(4)]),
    "pubsub": (
        "pubsub: {project: acme, topic: orders}",
        [PubSubReceived(project="acme", topic="orders")],
        [PubSubReceived(project="acme", topic="returns"), PubSubReceived(project="other", topic="orders")],
    ),
    "github": (
        "github: {events: [issues], repository: github.com/acme/lib}",
        [told_by_github("issues", "lib")],
        [told_by_github("release", "lib"), told_by_github("issues", "other")],
    ),
    "github-self": (
        "github: {events: [issues]}",
        [told_by_github("issues", "OWN")],
        [told_by_github("release", "OWN"), told_by_github("issues", "other")],
    ),
    "bitbucket-self": (
        "bitbucket: {events: ['issue:created']}",
        [told_by_bitbucket("issue:created", "OWN")],
        [told_by_bitbucket("repo:fork", "OWN"), told_by_bitbucket("issue:created", "other")],
    ),
}
"""A trigger, what fires it, and what does not. OWN stands for the pipeline that has it."""


PIPELINES = {f"{action}{name}": (action, name) for action in OWNERS for name in ("", "-upstream")}
"""The action of a pipeline's trigger, and whether that has a name."""


def for_all(messages: list[Message]) -> list[Message]:
    """Return the messages for all pipelines; one that names none of them just once."""
    told = [of(pipeline, message) for message in messages for pipeline in PIPELINES]
    return list({(each.subject, each.encode()): each for each in told}.values())


def of(name: str, message: Message) -> Message:
    """Return the message with OWN replaced."""
    if isinstance(message, GithubEvent):
        return message.model_copy(update={"payload": message.payload.replace(b"OWN", name.encode())})
    return type(message).model_validate_json(message.model_dump_json().replace("OWN", name))


async def started(scene: Any, *, but: frozenset[str] = frozenset()) -> dict[str, set[str]]:
    """Return the jobs of each pipeline once nothing is left to do."""
    await eventually(scene.is_idle, within=30)
    found = {}
    for pipeline, (action, _) in PIPELINES.items():
        rows = await scene.database.fetch(f"SELECT id FROM {TABLES[action]} WHERE name = $1", pipeline)
        found[pipeline] = {row["id"] for row in rows} - but
    return found


@pytest.mark.parametrize("case", CASES)
async def test_what_a_trigger_waits_for_starts_what_it_says_and_nothing_else_does(scene: Any, case: str) -> None:
    trigger, fires, others = CASES[case]
    for pipeline, (action, name) in PIPELINES.items():
        written = f"{{{f'name: {name}, ' if name else ''}{trigger}}}"
        begin = scene.push if case == "pipeline-self" else scene.build  # the end of the build would fire it already
        await begin(pipeline, OWNERS[action].replace("{TRIGGER}", written))
        scene.repository(pipeline).commit({".estafette.yaml": STAGES}, branch="master")
    before = await started(scene)

    for other in for_all(others):
        await scene.tell(other)
    assert await started(scene) == before

    for event in for_all(fires):
        await scene.tell(event)
    known = frozenset(job for jobs in before.values() for job in jobs)
    assert {pipeline: len(jobs) for pipeline, jobs in (await started(scene, but=known)).items()} == dict.fromkeys(
        PIPELINES, 1
    )
