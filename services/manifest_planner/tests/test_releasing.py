"""What a release or a bot runs, by the manifest of its build and what is known of its pipeline."""

from typing import Any

import pytest
from estafette_common.jobs.lifecycle import Kind
from estafette_common.manifest.model import Bot, Release
from estafette_common.manifest.reading import read
from manifest_planner import releasing
from manifest_planner.planning import BuildRow, Ignored, Server
from manifest_planner.releasing import Job, Known

MANIFEST = read(
    """
labels: {app: shop}
env: {A: b}
version: {semver: {major: 1, minor: 0}}
stages: {build: {image: busybox:1, commands: [make]}}
releases:
  tooling: {stages: {deploy: {image: busybox:1, commands: [deploy]}}}
  production:
    clone: true
    actions: [{name: canary}, {name: stable}]
    stages: {deploy: {image: busybox:1, commands: [deploy]}}
bots:
  tidy: {stages: {run: {image: busybox:1, commands: [tidy]}}}
"""
)

KNOWN = Known(latest="1.0.9", current="1.0.3")
OF_BUILD = {"pipeline": {"buildVersion": "1.0.5"}}
OF_RELEASE = {"release": {"releaseVersion": "1.0.6"}}
OF_MINUTE = {"cron": {"time": "2026-11-20T03:00:00Z"}}

BUILD = BuildRow(
    id="1",
    source="github.com",
    owner="acme",
    name="shop",
    branch="main",
    revision="a" * 40,
    counter=5,
    version="1.0.5",
    status="succeeded",
    installation=None,
)


@pytest.mark.parametrize(
    ("choice", "event", "version"),
    [
        ("latest", OF_BUILD, "1.0.9"),
        ("", OF_MINUTE, "1.0.9"),
        ("same", OF_BUILD, "1.0.5"),
        ("same", OF_RELEASE, "1.0.6"),
        ("current", OF_BUILD, "1.0.3"),
        ("1.0.1", OF_BUILD, "1.0.1"),
    ],
)
def test_a_version_is_chosen(choice: str, event: dict[str, Any], version: str) -> None:
    assert releasing.version(choice, event, KNOWN) == version


@pytest.mark.parametrize(
    ("choice", "event", "reason"),
    [
        ("latest", OF_BUILD, "no build of the pipeline has succeeded"),
        ("same", OF_MINUTE, "what fired has no version"),
        ("current", OF_BUILD, "nothing was released"),
    ],
)
def test_where_there_is_no_such_version_the_reason_says_so(choice: str, event: dict[str, Any], reason: str) -> None:
    found = releasing.version(choice, event, Known(latest="", current=""))

    assert isinstance(found, Ignored)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("name", "action", "by_hand"),
    [
        ("tooling", "", False),
        ("tooling", "", True),
        ("production", "", False),
        ("production", "canary", False),
        ("production", "canary", True),
    ],
)
def test_a_target_is_released_to(name: str, action: str, by_hand: bool) -> None:
    found = releasing.target(MANIFEST, name, action, by_hand=by_hand)

    assert isinstance(found, Release)
    assert found.name == name


@pytest.mark.parametrize(
    ("name", "action", "by_hand", "reason"),
    [
        ("staging", "", False, "it has tooling, production"),
        ("tooling", "canary", True, "no action 'canary'"),
        ("production", "blue", False, "it has canary, stable"),
        ("production", "", True, "takes one of the actions canary, stable"),
    ],
)
def test_what_cannot_be_released_so_is_said_with_what_can(name: str, action: str, by_hand: bool, reason: str) -> None:
    found = releasing.target(MANIFEST, name, action, by_hand=by_hand)

    assert isinstance(found, Ignored)
    assert reason in found.reason


def test_a_bot_is_found_by_its_name() -> None:
    assert isinstance(releasing.bot(MANIFEST, "tidy"), Bot)
    assert isinstance(releasing.bot(MANIFEST, "tody"), Ignored)


@pytest.mark.parametrize(("name", "clones"), [("tooling", False), ("production", True)])
def test_the_plan_of_a_release_has_what_its_builder_needs(name: str, clones: bool) -> None:
    runs = releasing.target(MANIFEST, name, "")
    assert isinstance(runs, Release)
    job = Job(kind=Kind.RELEASE, id="2", runs=runs, action="canary", events=(OF_BUILD,))
    server = Server(url="http://ci", clone_url="https://{source}/{owner}/{name}.git")

    plan = releasing.plan(job, BUILD, MANIFEST, server=server, clone_token="", remembered=(OF_RELEASE,))

    assert (plan.kind, plan.job_id, plan.job_name) == ("release", "2", "release-2")
    assert (plan.target, plan.action, plan.clone) == (name, "canary", clones)
    assert (plan.version.version, plan.branch, plan.revision) == ("1.0.5", "main", "a" * 40)
    assert (plan.labels, plan.env, plan.server_url) == ({"app": "shop"}, {"A": "b"}, "http://ci")
    assert plan.events == (OF_BUILD, OF_RELEASE)
    assert [stage.commands for stage in plan.stages] == [("deploy",)]
