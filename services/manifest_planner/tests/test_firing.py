"""Which events fire which triggers: every kind, with every action, of the own pipeline and of others, named or not."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.reading import read
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
from estafette_common.triggers.model import CronTrigger, DockerTrigger, Trigger, key_of
from manifest_planner import firing
from manifest_planner.declared import declared, triggers_of
from manifest_planner.firing import Candidate
from manifest_planner.trigger_keys import Schedule, digest, keys_for, keys_of

OWN = Repository(source="github.com", owner="acme", name="shop")
STAGES = "stages: {build: {image: busybox:1, commands: [echo]}}"

SHOP = {"repo_source": "github.com", "repo_owner": "acme", "repo_name": "shop"}
LIB = {"repo_source": "github.com", "repo_owner": "acme", "repo_name": "lib"}

BUILT = PipelineEvent(**SHOP, build_version="1.0.1", repo_branch="main", status="succeeded", event="finished")
LIB_BUILT = PipelineEvent(**LIB, build_version="2.0.1", repo_branch="main", status="succeeded", event="finished")
RELEASED = ReleaseEvent(**SHOP, release_version="1.0.1", target="tooling", status="succeeded", event="finished")
LIB_RELEASED = ReleaseEvent(**LIB, release_version="2.0.1", target="tooling", status="succeeded", event="finished")
PUSHED = GitEvent(event="push", repository="github.com/acme/lib", branch="main")
IMAGE = DockerEvent(event="push", image="golang", tag="1.22.1")
NIGHT = CronEvent(datetime(2026, 11, 20, 3, 0, tzinfo=UTC))
TOPIC = PubSubEvent(project="acme", topic="orders")
ISSUE = GithubEvent(event="issues", repository="github.com/acme/shop", delivery="1", payload="{}")
LIB_ISSUE = GithubEvent(event="issues", repository="github.com/acme/lib", delivery="1", payload="{}")
INSTALLED = GithubEvent(event="installation", delivery="1", payload="{}")
REQUEST = BitbucketEvent(event="pullrequest:created", repository="github.com/acme/shop", payload="{}")

CASES: list[tuple[str, Event, list[Event]]] = [
    (
        "pipeline: {name: self}",
        BUILT,
        [
            LIB_BUILT,
            replace(BUILT, repo_branch="feature"),
            replace(BUILT, status="failed"),
            replace(BUILT, event="started", status="pending"),
            RELEASED,
        ],
    ),
    ("pipeline: {name: github.com/acme/lib}", LIB_BUILT, [BUILT]),
    ("pipeline: {name: github.com/Acme/Lib}", LIB_BUILT, [BUILT]),
    ("pipeline: {name: github.com/acme/lib, event: started}", replace(LIB_BUILT, event="started"), [LIB_BUILT]),
    ("pipeline: {name: github.com/acme/lib, status: failed}", replace(LIB_BUILT, status="failed"), [LIB_BUILT]),
    (
        "pipeline: {name: github.com/acme/lib, branch: '!~ main'}",
        replace(LIB_BUILT, repo_branch="feature"),
        [LIB_BUILT],
    ),
    ("release: {name: self, target: tooling}", RELEASED, [LIB_RELEASED, replace(RELEASED, target="production"), BUILT]),
    ("release: {name: github.com/acme/lib, target: tooling}", LIB_RELEASED, [RELEASED]),
    (
        "release: {name: github.com/acme/lib, target: '.*', event: started}",
        replace(LIB_RELEASED, event="started", status="pending", target="production"),
        [LIB_RELEASED],
    ),
    (
        "git: {repository: github.com/acme/lib}",
        PUSHED,
        [replace(PUSHED, branch="feature"), replace(PUSHED, repository="github.com/acme/shop")],
    ),
    (
        "docker: {image: golang, tag: '1.22.0', policy: minor}",
        IMAGE,
        [replace(IMAGE, tag="2.0.0"), replace(IMAGE, image="rust")],
    ),
    ("cron: {schedule: '0 3 * * *'}", NIGHT, [CronEvent(datetime(2026, 11, 20, 4, 0, tzinfo=UTC))]),
    (
        "cron: {schedule: '0 3 * * *', timezone: Europe/Amsterdam}",
        CronEvent(datetime(2026, 11, 20, 2, 0, tzinfo=UTC)),
        [NIGHT],
    ),
    (
        "pubsub: {project: acme, topic: orders}",
        TOPIC,
        [replace(TOPIC, topic="returns"), replace(TOPIC, project="other")],
    ),
    ("pubsub: {project: acme, topic: 'ord.*'}", TOPIC, [replace(TOPIC, topic="returns")]),
    ("github: {events: [issues]}", ISSUE, [LIB_ISSUE, replace(ISSUE, event="release")]),
    ("github: {events: [issues], repository: github.com/acme/lib}", LIB_ISSUE, [ISSUE]),
    ("github: {events: [installation]}", INSTALLED, [ISSUE]),
    ("bitbucket: {events: ['pullrequest:created']}", REQUEST, [replace(REQUEST, event="repo:push"), ISSUE]),
]

OWNERS = {
    "builds": f"triggers:\n- {{TRIGGER}}\n{STAGES}",
    "releases": f"releases: {{production: {{triggers: [{{TRIGGER}}]}}}}\n{STAGES}",
    "runs": f"bots: {{tidy: {{triggers: [{{TRIGGER}}], {STAGES}}}}}\n{STAGES}",
}


def candidate(trigger: str, action: str, *, name: str = "") -> Candidate:
    """Return the one trigger of a manifest that has it where it starts builds, releases or runs of bots."""
    written = f"{{{f'name: {name}, ' if name else ''}{trigger}}}"
    [found] = triggers_of(read(OWNERS[action].replace("{TRIGGER}", written)), OWN.pipeline)
    return Candidate(OWN, found, digest(found))


def is_found(trigger: Trigger, event: Event) -> bool:
    """Return whether the index gives the trigger for the event."""
    due: tuple[Schedule, ...] = ()
    if isinstance(trigger.filter, CronTrigger) and isinstance(event, CronEvent):
        schedule = Schedule(trigger.filter.schedule, trigger.filter.timezone)
        due = (schedule,) if schedule.is_due(event) else ()
    return bool(keys_of(trigger.filter) & set(keys_for(event, due)))


@pytest.mark.parametrize("name", ["", "upstream"])
@pytest.mark.parametrize("action", OWNERS)
@pytest.mark.parametrize(("trigger", "event"), [(trigger, event) for trigger, event, _ in CASES])
def test_an_event_fires_the_triggers_that_wait_for_it(trigger: str, event: Event, action: str, name: str) -> None:
    waiting = candidate(trigger, action, name=name)

    [fire] = firing.fires([waiting], event, event_id="1", hops=2)

    assert is_found(waiting.trigger, event)
    assert (fire.repository, fire.hops, fire.event_id) == (OWN, 3, "1")
    assert action in fire.trigger
    assert fire.event["fired"]
    assert fire.event.get("name", "") == name
    assert key_of(waiting.trigger.filter) in fire.event
    assert firing.trigger_of(fire) == waiting.trigger


@pytest.mark.parametrize("action", OWNERS)
@pytest.mark.parametrize(("trigger", "other"), [(trigger, other) for trigger, _, others in CASES for other in others])
def test_an_event_fires_no_other_trigger(trigger: str, other: Event, action: str) -> None:
    assert firing.fires([candidate(trigger, action)], other, event_id="1") == []


@pytest.mark.parametrize(
    ("trigger", "other"),
    [
        ("pipeline: {name: self}", LIB_BUILT),
        ("release: {name: self, target: tooling}", LIB_RELEASED),
        ("git: {repository: github.com/acme/lib}", replace(PUSHED, repository="github.com/acme/shop")),
        ("docker: {image: golang, policy: all}", replace(IMAGE, image="rust")),
        ("cron: {schedule: '0 3 * * *'}", CronEvent(datetime(2026, 11, 20, 4, 0, tzinfo=UTC))),
        ("pubsub: {project: acme, topic: orders}", replace(TOPIC, topic="returns")),
        ("github: {events: [issues]}", LIB_ISSUE),
        ("github: {events: [issues]}", replace(ISSUE, event="release")),
        ("bitbucket: {events: ['pullrequest:created']}", replace(REQUEST, repository="bitbucket.org/acme/lib")),
    ],
)
def test_an_event_does_not_touch_triggers_that_name_something_else(trigger: str, other: Event) -> None:
    assert not is_found(candidate(trigger, "builds").trigger, other)


def fire_of(trigger: str = "pipeline: {name: self}", **changes: Any) -> Any:
    [fire] = firing.fires([candidate(trigger, "builds")], BUILT, event_id="1")
    return fire.model_copy(update=changes)


def test_the_same_event_gives_the_same_firing() -> None:
    assert firing.message_id(fire_of()) == firing.message_id(fire_of())


def test_each_trigger_of_a_pipeline_fires_by_itself() -> None:
    other = fire_of("pipeline: {name: self, branch: '.*'}")

    assert firing.message_id(fire_of()) != firing.message_id(other)


def test_triggers_that_fire_each_other_in_a_circle_come_to_an_end() -> None:
    assert firing.loop(fire_of(hops=10), most_hops=10) == ""
    assert "fire each other" in firing.loop(fire_of(hops=11), most_hops=10)


def test_triggers_of_an_archived_pipeline_are_none() -> None:

    manifest = read(f"archived: true\ntriggers: [{{cron: {{schedule: '0 3 * * *'}}}}]\n{STAGES}")

    assert declared(manifest, OWN.pipeline).triggers == ()


def docker(**changes: Any) -> DockerTrigger:
    return DockerTrigger(**{"image": "golang", "policy": "minor", **changes})


@pytest.mark.parametrize(
    ("trigger", "event", "fires", "tag"),
    [
        (docker(), IMAGE, True, "1.22.1"),
        (docker(), IMAGE, False, "1.22.1"),
        (docker(), replace(IMAGE, tag="latest"), False, ""),
        (docker(policy="broken"), IMAGE, False, ""),
        (docker(tag="1.23.0"), IMAGE, False, ""),
        (docker(), replace(IMAGE, handled=ImageTag("1.23.0")), False, ""),
        (docker(policy="force"), replace(IMAGE, digest="sha256:1", handled=ImageTag("1.22.1")), False, "1.22.1"),
        (docker(policy="force"), replace(IMAGE, digest="sha256:1", handled=ImageTag("1.22.1", "sha256:1")), False, ""),
    ],
)
def test_a_docker_trigger_notes_what_later_tags_are_compared_with(
    trigger: DockerTrigger, event: DockerEvent, fires: bool, tag: str
) -> None:
    noted = firing.noted(trigger, event, fires=fires)

    assert (noted.name if noted else "") == tag
