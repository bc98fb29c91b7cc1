"""What the news of a forge amounts to: GitHub's own samples of payloads, and what Bitbucket documents."""

import json
from typing import Any

import pytest
from estafette_common.jobs.plan import Repository
from estafette_local.sample import WEBHOOKS
from manifest_planner.moving import Archived, Moved, of_bitbucket, of_github


def samples(action: str) -> list[dict[str, Any]]:
    """Return GitHub's samples of a `repository` event."""
    kinds = json.loads(WEBHOOKS.read_text())
    [found] = [each["examples"] for each in kinds if each["name"] == "repository"]
    return [each for each in found if each["action"] == action]


def github(payload: dict[str, Any]) -> Any:
    return of_github(json.dumps(payload).encode())


def place(owner: str, name: str = "Hello-World", source: str = "github.com") -> Repository:
    return Repository(source=source, owner=owner, name=name)


def test_a_renamed_repository_has_moved() -> None:
    [payload] = samples("renamed")
    payload["repository"]["name"] = "Hello-Moon"

    told = github(payload)

    assert isinstance(told, Moved)
    assert (told.old, told.new) == (place("Octocoders"), place("Octocoders", "Hello-Moon"))
    assert told.reason == "github.com/Octocoders/Hello-World was renamed; it is github.com/Octocoders/Hello-Moon now"


def test_a_transferred_repository_has_moved() -> None:
    for payload in samples("transferred"):
        told = github(payload)

        assert isinstance(told, Moved)
        assert (told.old, told.new) == (place("octocat"), place("Octocoders"))


def test_a_repository_that_an_organization_gives_away_has_moved() -> None:
    payload = samples("transferred")[0]
    payload["changes"]["owner"]["from"] = {"organization": {"login": "acme"}}

    assert github(payload).old == place("acme")


@pytest.mark.parametrize(
    ("action", "archived"), [("archived", True), ("deleted", True), ("unarchived", False), ("created", False)]
)
def test_a_repository_is_archived_or_not(action: str, *, archived: bool) -> None:
    payload = {**samples("created")[0], "action": action}

    told = github(payload)

    assert isinstance(told, Archived)
    assert (told.place, told.archived) == (place("Octocoders"), archived)


@pytest.mark.parametrize("action", ["edited", "publicized", "privatized"])
def test_other_news_changes_nothing(action: str) -> None:
    assert [github(payload) for payload in samples(action)] == [None] * len(samples(action))


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"action": "renamed", "repository": 1}'])
def test_what_is_not_understood_changes_nothing(payload: bytes) -> None:
    assert of_github(payload) is None


def test_a_repository_of_bitbucket_is_renamed_and_deleted() -> None:
    renamed = {
        "repository": {"full_name": "acme/store"},
        "changes": {"full_name": {"old": "acme/shop", "new": "acme/store"}},
    }

    moved = of_bitbucket("repo:updated", json.dumps(renamed))
    gone = of_bitbucket("repo:deleted", json.dumps({"repository": {"full_name": "acme/shop"}}))
    other = of_bitbucket("repo:updated", json.dumps({"repository": {"full_name": "acme/shop"}, "changes": {}}))

    shop = place("acme", "shop", "bitbucket.org")
    assert isinstance(moved, Moved)
    assert (moved.old, moved.new) == (shop, place("acme", "store", "bitbucket.org"))
    assert isinstance(gone, Archived)
    assert (gone.place, gone.archived) == (shop, True)
    assert other is None
