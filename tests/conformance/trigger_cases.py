"""Cases of the area `trigger`, and the operation `validate_trigger` of the areas `defaults` and `validate`.

Each takes what a case gives and returns what it expects, as far as the case asks for it.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import yaml
from estafette_common.triggers import checking, documents
from estafette_common.triggers.completing import complete
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
from estafette_common.triggers.matching import matches
from estafette_common.triggers.model import BUILD, BuildAction, Owner, Trigger
from estafette_common.triggers.own_pipeline import all_triggers

OPERATIONS = {"trigger_fires", "all_triggers", "validate_trigger"}

EVENTS: dict[str, type[Event]] = {
    "pipeline": PipelineEvent,
    "release": ReleaseEvent,
    "git": GitEvent,
    "docker": DockerEvent,
    "pubsub": PubSubEvent,
    "github": GithubEvent,
    "bitbucket": BitbucketEvent,
}


def run(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a case in the shape of what it expects."""
    given, expected = case["input"], case["expect"]
    match given["op"]:
        case "trigger_fires":
            return {"fires": _fires(given)}
        case "all_triggers":
            return {"ok": True} | _described(_all_triggers(given), expected)
        case "validate_trigger":
            return _validated(given, expected)
        case operation:
            raise ValueError(f"no operation on triggers: {operation}")


def _fires(given: Mapping[str, Any]) -> bool:
    written = documents.read({given["kind"]: given["trigger"]})
    if given.get("apply_defaults"):
        written = complete(written, BUILD)
    return matches(Trigger(written.filters[0], BuildAction()), _event(given["kind"], given["event"])).fires


def _event(kind: str, document: Mapping[str, Any]) -> Event:
    if kind == "cron":
        return CronEvent(datetime.fromisoformat(document["time"]))
    names = {field.name.replace("_", "").lower(): field.name for field in fields(EVENTS[kind])}
    return EVENTS[kind](**{names[key.lower()]: value for key, value in document.items()})


def _all_triggers(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    manifest = yaml.safe_load(given["yaml"])
    found = all_triggers(
        _checked(manifest, BUILD),
        _of_section(manifest, "releases", "release"),
        _of_section(manifest, "bots", "bot"),
        pipeline=given["pipeline"],
    )
    return [documents.write(trigger) for trigger in found]


def _of_section(manifest: Mapping[str, Any], section: str, kind: Any) -> list[Trigger]:
    entries = (manifest.get(section) or {}).items()
    return [trigger for name, body in entries for trigger in _checked(body or {}, Owner(kind, name))]


def _checked(body: Mapping[str, Any], owner: Owner) -> list[Trigger]:
    written = (complete(documents.read(document), owner) for document in body.get("triggers") or ())
    return [checking.checked(trigger, owner) for trigger in written]


def _validated(given: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    owner = Owner(given["type"], given["target"])
    trigger = documents.read(given["trigger"])
    if given["apply_defaults"]:
        preferences = {"defaultBranch": "master"} | given.get("preferences", {})
        trigger = complete(trigger, owner, default_branch=preferences["defaultBranch"])
    errors = [finding for finding in checking.check(trigger, owner) if finding.severity == "error"]
    if errors:
        return {"ok": False, "error": errors[0].rule}
    return {"ok": True} | _described(documents.write(trigger), expected)


def _described(tree: Any, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return what lies at the paths that the case names, in the tree of the trigger or the list of them."""
    described = {
        "values": {path: _at(tree, path) for path in expected.get("values", {})},
        "counts": {path: len(_at(tree, path)) for path in expected.get("counts", {})},
    }
    return {name: found for name, found in described.items() if name in expected}


def _at(tree: Any, path: str) -> Any:
    for step in re.findall(r"[^.\[\]]+", path):
        tree = tree[int(step)] if isinstance(tree, list) else tree.get(step, "<absent>")
    return tree
