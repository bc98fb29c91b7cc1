"""Repositories move and are archived while the planner is at work, through real NATS, PostgreSQL and git."""

import json
from typing import Any

from estafette_common.bus.messages.commands import StartRelease
from estafette_common.bus.messages.events import DecisionMade, GithubEvent, GitPushed
from estafette_common.jobs.plan import Repository
from estafette_local.waiting import eventually

STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
MANIFEST = f"""
version: {{semver: {{major: 1, minor: 0}}}}
{STAGES}
releases: {{tooling: {{{STAGES}}}}}
bots: {{tidy: {{triggers: [{{github: {{events: [issues]}}}}], {STAGES}}}}}
"""


def place(name: str) -> Repository:
    return Repository(source="github.com", owner="acme", name=name)


def event(action: str, name: str, *, was: str = "") -> GithubEvent:
    payload: dict[str, Any] = {"action": action, "repository": {"name": name, "owner": {"login": "acme"}}}
    if was:
        payload["changes"] = {"repository": {"name": {"from": was}}}
    return GithubEvent(kind="repository", payload=json.dumps(payload).encode())


def issue(name: str) -> GithubEvent:
    return GithubEvent(kind="issues", payload=json.dumps({"repository": {"full_name": f"acme/{name}"}}).encode())


async def decided(scene: Any, decision: str) -> DecisionMade:
    """Wait until it is told that a repository was moved or archived."""

    async def told() -> DecisionMade | None:
        made = await scene.told(DecisionMade)
        return next((each for each in made if (each.subject_kind, each.decision) == ("repository", decision)), None)

    found = await eventually(told)
    assert isinstance(found, DecisionMade)
    return found


async def test_a_renamed_repository_goes_on_where_it_was(scene: Any) -> None:
    build = await scene.build("shop", MANIFEST)
    revision = scene.repository("store").commit({".estafette.yaml": MANIFEST})

    delivery = await scene.tell(event("renamed", "store", was="shop"))
    decision = await decided(scene, "moved")
    await scene.tell(GitPushed(repository=place("store"), ref="refs/heads/main", revision=revision))
    [first, second] = await scene.rows("builds", 2)

    assert (decision.cause_id, decision.repository) == (delivery, place("store"))
    assert (first["id"], first["name"], first["version"]) == (build["id"], "store", "1.0.1")
    assert (second["name"], second["version"]) == ("store", "1.0.2")


async def test_a_release_that_is_asked_for_by_the_old_name_is_of_the_new_place(scene: Any) -> None:
    await scene.build("shop", MANIFEST)
    await scene.tell(event("renamed", "store", was="shop"))
    await decided(scene, "moved")

    await scene.tell(StartRelease(repository=place("shop"), target="tooling", version="latest", by="robin"))

    [release] = await scene.rows("releases", 1)
    assert (release["name"], release["version"]) == ("store", "1.0.1")


async def test_nothing_is_started_in_an_archived_repository_until_it_is_one_no_more(scene: Any) -> None:
    await scene.build("shop", MANIFEST)
    await scene.tell(event("archived", "shop"))
    await decided(scene, "archived")

    await scene.tell(issue("shop"))
    await eventually(scene.is_idle)
    assert await scene.count("bots") == 0

    await scene.tell(event("unarchived", "shop"))
    await decided(scene, "unarchived")
    await scene.tell(issue("shop"))
    await scene.rows("bots", 1)
