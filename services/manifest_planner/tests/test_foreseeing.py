"""What an event would lead to: the decisions alone, without a server."""

from typing import Any

import pytest
from estafette_common.bus.messages.events import Commit, GitPushed, Person
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.reading import read
from estafette_common.triggers.events import Event, GitEvent, GithubEvent, PipelineEvent
from manifest_planner.declared import triggers_of
from manifest_planner.firing import Candidate
from manifest_planner.foreseeing import Foreseen, Foresight, State
from manifest_planner.foretelling import lines
from manifest_planner.trigger_keys import digest

SHOP = Repository(source="github.com", owner="acme", name="shop")
WEB = Repository(source="github.com", owner="acme", name="web")
REVISION = "5" * 40
STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
VERSION = "version: {semver: {major: 1, minor: 4}}"

RELEASED = f"""
{VERSION}
{STAGES}
releases:
  tooling:
    triggers: [{{pipeline: {{name: self}}}}]
    {STAGES}
  production:
    actions: [{{name: deploy}}]
    triggers: [{{release: {{name: self, target: tooling}}, releases: {{action: deploy}}}}]
    {STAGES}
"""


def push(
    *, repository: Repository = SHOP, ref: str = "refs/heads/main", message: str = "Change", **said: Any
) -> GitPushed:
    commits = (Commit(message=message, author=Person()),)
    return GitPushed(repository=repository, ref=ref, revision=REVISION, commits=commits, **said)


def foresight(manifest: str, **state: Any) -> Foresight:
    return Foresight(manifest, SHOP, State(**state), most_hops=3)


def of_another(written: str) -> Candidate:
    """Return a trigger of builds of the web pipeline."""
    [trigger] = triggers_of(read(f"triggers: [{written}]\n{STAGES}"), WEB.pipeline)
    return Candidate(WEB, trigger, digest(trigger))


def test_triggers_of_other_pipelines_that_wait_for_the_build_or_the_push_would_fire() -> None:
    others = (
        of_another("{pipeline: {name: github.com/acme/shop}, builds: {branch: main}}"),
        of_another("{pipeline: {name: github.com/acme/lib}, builds: {branch: main}}"),
        of_another("{git: {repository: github.com/acme/shop}, builds: {branch: edge}}"),
    )
    looked = foresight(f"{VERSION}\n{STAGES}", others=others)

    built = list(looked.push(push()))
    pushed = list(looked.event(GitEvent(event="push", repository=SHOP.pipeline, branch="main"), event_id="1"))

    assert decided([*built, *pushed]) == [
        ("push", "started"),
        ("pipeline trigger of builds of main of github.com/acme/web", "fired"),
        ("git trigger of builds of edge of github.com/acme/web", "fired"),
    ]
    assert [each.depth for each in built] == [0, 1]


def decided(foreseen: list[Foreseen]) -> list[tuple[str, str]]:
    return [(each.about, each.decision) for each in foreseen]


def test_a_push_would_become_the_next_build() -> None:
    [seen] = foresight(f"{VERSION}\n{STAGES}", number=7).push(push())

    assert seen.job is not None
    assert (seen.decision, seen.reason, seen.job.version) == ("started", "push to main", "1.4.7")
    assert [stage.name for stage in seen.job.stages] == ["build"]


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (push(message="Mend [skip ci]"), "the message of the head commit says [skip ci]"),
        (push(ref="refs/tags/1.0"), "1.0 is a tag; only branches are built"),
        (push(deleted=True), "refs/heads/main was deleted"),
    ],
)
def test_a_push_that_is_no_build_says_why(seen: GitPushed, reason: str) -> None:
    [foreseen] = foresight(STAGES).push(seen)

    assert (foreseen.decision, foreseen.reason, foreseen.job) == ("ignored", reason, None)


def test_a_manifest_that_is_not_valid_would_be_rejected() -> None:
    [foreseen] = foresight("stages: {build: {commands: [make]}}").push(push())

    assert foreseen.decision == "rejected"
    assert "image" in foreseen.reason


def test_a_push_to_another_repository_is_no_build_of_this_one() -> None:
    assert not list(foresight(STAGES).push(push(repository=SHOP.model_copy(update={"name": "lib"}))))


def test_what_follows_a_build_is_followed_to_its_last_release() -> None:
    foreseen = list(foresight(RELEASED, number=7).push(push()))

    jobs = [(each.depth, each.job.runs, each.job.action, each.job.version) for each in foreseen if each.job]
    assert jobs == [(0, "", "", "1.4.7"), (1, "tooling", "", "1.4.7"), (2, "production", "deploy", "1.4.7")]
    assert ("release trigger of release production deploy", "not fired") in decided(foreseen)


def test_triggers_that_fire_each_other_end() -> None:
    manifest = f"triggers: [{{pipeline: {{name: self}}, builds: {{branch: main}}}}]\n{STAGES}"

    foreseen = list(foresight(manifest).push(push()))

    assert [each.decision for each in foreseen] == ["started"] * 4 + ["ignored"]


@pytest.mark.parametrize(
    ("choice", "state", "version"),
    [
        ("latest", {"latest": "1.4.6"}, "1.4.6"),
        ("current", {"live": {("tooling", ""): "1.4.2"}}, "1.4.2"),
        ("same", {}, "2.0.0"),
        ("1.0.0", {}, "1.0.0"),
        ("latest", {}, None),
        ("current", {}, None),
    ],
)
def test_a_release_would_have_the_version_that_its_trigger_chooses(
    choice: str, state: dict[str, Any], version: str | None
) -> None:
    trigger = f"{{pipeline: {{name: github.com/acme/lib}}, releases: {{version: '{choice}'}}}}"
    manifest = f"{STAGES}\nreleases: {{tooling: {{triggers: [{trigger}], {STAGES}}}}}"
    built = PipelineEvent("2.0.0", "github.com", "acme", "lib", "main", "succeeded", "finished")

    [foreseen] = foresight(manifest, **state).event(built, event_id="e")

    assert (foreseen.job.version if foreseen.job else None) == version


@pytest.mark.parametrize(
    ("event", "decision"),
    [
        (GithubEvent(event="issues", repository=SHOP.pipeline), "started"),
        (GithubEvent(event="star", repository=SHOP.pipeline), "not fired"),
        (GitEvent(event="push", repository=SHOP.pipeline, branch="main"), None),
    ],
)
def test_a_bot_would_run_for_the_events_that_it_waits_for(event: Event, decision: str | None) -> None:
    manifest = f"{STAGES}\nbots: {{tidy: {{triggers: [{{github: {{events: [issues]}}}}], {STAGES}}}}}"

    foreseen = foresight(manifest).event(event, event_id="e")

    assert [each.decision for each in foreseen] == ([decision] if decision else [])


def test_it_is_told_with_stages_and_what_they_wait_for() -> None:
    stages = (
        "stages: {test: {image: golang:1, services: [{name: db, image: postgres:16}]}, ship: {image: docker, when: a}}"
    )
    manifest = f"concurrency: {{policy: queue-latest}}\n{VERSION}\n{stages.replace('when: a', 'when: branch == `x`')}"
    manifest = manifest.replace("`x`", "'x'")

    told = list(lines(foresight(manifest).push(push())))

    assert told == [
        "push started: push to main",
        "  build 1.4.1 of main",
        "    queue-latest in the group github.com/acme/shop main",
        "    stage test (golang:1)",
        "      service db (postgres:16)",
        "    stage ship (docker) when branch == 'x'",
    ]
