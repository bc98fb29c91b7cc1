from typing import Any

import pytest
from estafette_common.bus.messages.events import Commit, GitPushed, Person
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.reading import read
from manifest_planner import planning
from manifest_planner.planning import BuildRow

MANIFEST = """
version:
  semver: {major: 1, minor: 2}
labels: {app: shop}
env: {A: b}
stages:
  build: {image: "golang:1.22", commands: [go build], env: {C: d}}
"""

BUILD = BuildRow(
    id="1",
    source="github.com",
    owner="acme",
    name="shop",
    branch="feature/x",
    revision="a" * 40,
    counter=7,
    version="1.2.7-feature-x",
    status="pending",
    installation=None,
)


def push(**changes: Any) -> GitPushed:
    repository = Repository(source="github.com", owner="acme", name="shop")
    return GitPushed(**{"repository": repository, "ref": "refs/heads/feature/x", "revision": "a" * 40, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ref": "refs/tags/1.0"}, "tag"),
        ({"deleted": True}, "deleted"),
        ({"revision": "0" * 40}, "deleted"),
        ({"ref": "refs/notes/commits"}, "no branch"),
    ],
)
def test_a_push_that_can_be_no_build_is_ignored_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    ignored = planning.ignored_before_reading(push(**changes))

    assert ignored is not None
    assert reason in ignored.reason


@pytest.mark.parametrize("message", ["Mend a typo [skip ci]", "Mend a typo\n\n[CI skip]"])
def test_the_head_commit_can_ask_for_no_build(message: str) -> None:
    commits = tuple(Commit(message=each, author=Person()) for each in ("Add a shop", message))

    ignored = planning.ignored_before_reading(push(commits=commits))

    assert ignored is not None
    assert "head commit" in ignored.reason


def test_an_older_commit_cannot_ask_for_no_build() -> None:
    commits = tuple(Commit(message=each, author=Person()) for each in ("A typo [skip ci]", "Add a shop"))

    assert planning.ignored_before_reading(push(commits=commits)) is None


def test_a_push_to_a_branch_depends_on_its_manifest() -> None:
    assert planning.ignored_before_reading(push()) is None


def test_the_version_of_an_invalid_manifest_is_its_counter() -> None:
    assert planning.version_of(None, counter=7, branch="main", revision="a" * 40).version == "7"


def test_a_stage_is_tried_again_as_often_as_it_asks_and_the_server_allows() -> None:
    stages = "a: {image: x:1, retries: 1}\n  b: {image: x:1, retries: 9}\n  c: {image: x:1, retries: often}"
    server = planning.Server(url="", clone_url="", most_retries=2)

    plan = planning.plan(BUILD, read(f"stages:\n  {stages}"), server=server, clone_token="")

    assert [stage.retries for stage in plan.stages] == [1, 2, 0]


def test_a_stage_may_have_a_time_limit_and_be_kept() -> None:
    stage = "{image: x:1, commands: [make], timeout: 1h30m, resumable: true}"
    server = planning.Server(url="", clone_url="")

    [planned] = planning.plan(BUILD, read(f"stages: {{a: {stage}}}"), server=server, clone_token="").stages

    assert (planned.timeout, planned.resumable) == (5400, True)


def test_the_timeout_of_an_extension_is_its_own() -> None:
    server = planning.Server(url="", clone_url="")

    [planned] = planning.plan(
        BUILD, read("stages: {a: {image: extensions/gke:1, timeout: 90s}}"), server=server, clone_token=""
    ).stages

    assert planned.timeout is None


def test_the_plan_holds_all_that_the_builder_needs() -> None:
    plan = planning.plan(
        BUILD,
        read(MANIFEST),
        server=planning.Server(url="http://ci", clone_url="https://{source}/{owner}/{name}.git", most_retries=2),
        clone_token="",
    )

    assert plan.clone_url == "https://github.com/acme/shop.git"
    assert (plan.version.version, plan.version.counter) == (BUILD.version, 7)
    assert (plan.labels, plan.env, plan.server_url) == ({"app": "shop"}, {"A": "b"}, "http://ci")
    [stage] = plan.stages
    assert (stage.name, stage.image, stage.commands, stage.env) == ("build", "golang:1.22", ("go build",), {"C": "d"})
