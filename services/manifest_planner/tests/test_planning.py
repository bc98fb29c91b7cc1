from typing import Any

import pytest
from estafette_common.bus.messages.events import GitPushed
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


def test_a_push_to_a_branch_depends_on_its_manifest() -> None:
    assert planning.ignored_before_reading(push()) is None


def test_the_version_of_an_invalid_manifest_is_its_counter() -> None:
    assert planning.version_of(None, counter=7, branch="main", revision="a" * 40).version == "7"


def test_the_plan_holds_all_that_the_builder_needs() -> None:
    build = BuildRow(
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

    plan = planning.plan(
        build,
        push(),
        read(MANIFEST),
        clone_url="https://github.com/acme/shop.git",
        clone_token="",
        server_url="http://ci",
    )

    assert plan.clone_url == "https://github.com/acme/shop.git"
    assert (plan.version.version, plan.version.counter) == (build.version, 7)
    assert (plan.labels, plan.env, plan.server_url) == ({"app": "shop"}, {"A": "b"}, "http://ci")
    [stage] = plan.stages
    assert (stage.name, stage.image, stage.commands, stage.env) == ("build", "golang:1.22", ("go build",), {"C": "d"})
