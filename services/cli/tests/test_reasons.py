from typing import Any

from cli import reasons

BUILD = {
    "kind": "build",
    "id": "7",
    "version": "1.0.3",
    "runs": "",
    "action": "",
    "status": "failed",
    "outcome": "lost",
    "reason": "its node is gone",
    "waitsFor": "",
}


def decision(**fields: Any) -> dict[str, Any]:
    return {
        "about": "push",
        "decision": "started",
        "reason": "push to main",
        "repoSource": "github.com",
        "repoOwner": "acme",
        "repoName": "shop",
        "repoRevision": "c" * 40,
        "decidedAt": "2026-11-20T12:00:00.123456Z",
        "job": None,
        **fields,
    }


def test_a_decision_is_told_with_its_reason() -> None:
    told = reasons.decisions([decision(decision="ignored", reason="refs/tags/1.0 is a tag")])

    assert list(told) == ["2026-11-20T12:00:00Z  github.com/acme/shop cccccccc  push ignored: refs/tags/1.0 is a tag"]


def test_a_decision_is_told_with_what_became_of_its_job() -> None:
    [_, job] = reasons.decisions([decision(job=BUILD)])

    assert job == "  build 1.0.3 is failed (lost), id 7: its node is gone"


def test_a_job_that_waits_says_what_for() -> None:
    waiting = {**BUILD, "status": "pending", "outcome": None, "reason": "", "waitsFor": "waits for build 1.0.2"}

    [_, job] = reasons.decisions([decision(job=waiting)])

    assert job == "  build 1.0.3 is pending, id 7: waits for build 1.0.2"


def test_a_release_names_its_target_and_action() -> None:
    release = {**BUILD, "kind": "release", "runs": "production", "action": "deploy", "status": "running", "reason": ""}

    [_, job] = reasons.decisions([decision(job={**release, "outcome": None})])

    assert job == "  release production deploy 1.0.3 is running, id 7"


def test_a_revision_that_nobody_pushed_is_said_to_be_unknown() -> None:
    [line] = reasons.of_revision({"revision": "cccccccc", "items": []}, "github.com/acme/shop")

    assert line == "nothing was decided about cccccccc of github.com/acme/shop: the server heard of no push of it"


def test_a_delivery_without_a_decision_was_heard_for_nothing() -> None:
    heard = {"subject": "event.github.star", "time": "2026-11-20T12:00:00Z"}

    [line] = reasons.of_delivery({"delivery": "d", "heard": heard, "items": []})

    assert line == "heard as event.github.star at 2026-11-20T12:00:00Z; it was no push, and no trigger waited for it"
