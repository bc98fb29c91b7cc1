"""Cases about reading manifests: the areas `parse`, `defaults`, `validate` and `version`, but for triggers alone.

Paths of a case walk a tree in which everything is there, also what is empty: absent lists and maps are null, absent
texts empty.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml
from estafette_common.manifest import reading, versions, writing
from estafette_common.manifest.findings import Findings, ManifestError
from estafette_common.manifest.model import Manifest
from estafette_common.manifest.preferences import Preferences

OPERATIONS = {"read_manifest", "roundtrip", "version", "string_or_array", "string_or_array_json"}

BUILDER = {"track": "", "os": "", "medium": "", "type": ""}
PROBE = {"timeoutSeconds": 0, "path": "", "port": 0, "protocol": "", "hostname": ""}
SERVICE = {
    "name": "",
    "image": "",
    "shell": "",
    "commands": None,
    "runCommandsInForeground": False,
    "multiStage": False,
    "when": "",
    "env": None,
    "readiness": None,
    "readinessProbe": None,
    "custom": None,
}
STAGE = {
    "name": "",
    "image": "",
    "shell": "",
    "workDir": "",
    "commands": None,
    "runCommandsInForeground": False,
    "when": "",
    "env": None,
    "autoInjected": False,
    "custom": None,
    "parallelStages": None,
    "services": None,
}
JOB = {"builder": None, "clone": False, "actions": None, "triggers": None, "stages": None, "template": ""}
MANIFEST = {
    "archived": False,
    "builder": BUILDER,
    "labels": None,
    "env": None,
    "triggers": None,
    "stages": None,
    "releases": None,
    "releaseTemplates": None,
    "bots": None,
}


def run(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a case in the shape of what it expects."""
    given, expected = case["input"], case["expect"]
    try:
        outcome = _outcome(given, expected)
    except ManifestError:
        outcome = {"ok": False}
    return {key: outcome.get(key, value if key in {"error", "reference"} else None) for key, value in expected.items()}


def _outcome(given: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    match given["op"]:
        case "read_manifest":
            return {"ok": True} | described(tree(_read(given)), expected)
        case "roundtrip":
            written = reading.as_written(given["yaml"], Findings())
            again = reading.as_written(writing.to_yaml(written), Findings())
            return {"ok": True, "same": written == again}
        case "version":
            return {"ok": True} | _version(given, expected)
        case _:
            return {"ok": True} | _release_branches(given, expected)


def _read(given: Mapping[str, Any]) -> Manifest:
    preferences = Preferences.of(given.get("preferences") or {})
    read = reading.read if given.get("validate", True) else reading.parse
    return read(given["yaml"], preferences)


def _version(given: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    body = "".join(f"  {line}\n" for line in given["yaml"].splitlines())
    manifest = reading.read(f"version:\n{body}stages: {{a: {{image: x}}}}")
    params = given["params"]
    computed = versions.compute(
        manifest.version, counter=params["auto"], branch=params["branch"], revision=params["revision"]
    )
    return {
        "version": computed.version,
        "patch": computed.patch,
        "label": computed.label,
        "patchWithLabel": computed.version.split(".", 2)[-1],
        **described({"config": tree(manifest)["version"]}, expected),
    }


def _release_branches(given: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Run a case about a value that is one text or a list: release branches are the only ones."""
    text = given.get("yaml", given.get("json", ""))
    body = "\n".join(f"      {line}" for line in text.splitlines())
    manifest = reading.as_written(f"version:\n  semver:\n    releaseBranch:\n{body}\n", Findings())
    # One that is empty cannot be seen in a manifest: the default takes its place.
    empty = yaml.safe_load(text) in (None, "", [])
    value = "" if empty else writing.tree(manifest)["version"]["semver"]["releaseBranch"]
    branches = [value] if isinstance(value, str) and value else list(value)
    outcome = {
        "contains": versions.is_release_branch(tuple(branches), given.get("contains", "")),
        "list": branches,
        "yaml": writing.dump(value).removesuffix("...\n"),
        "json": json.dumps(value, separators=(",", ":")),
    }
    return {key: found for key, found in outcome.items() if key in expected}


def tree(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest with everything in it, also what is empty."""
    found = {**MANIFEST, **writing.tree(manifest)}
    found["builder"] = {**BUILDER, **found["builder"]}
    found["stages"] = _stages(found["stages"])
    for key in ("releases", "releaseTemplates", "bots"):
        if found[key] is not None:
            found[key] = [_job(job) for job in found[key]]
    semver = found.get("version", {}).get("semver")
    if semver is not None and isinstance(semver["releaseBranch"], str):
        semver["releaseBranch"] = [semver["releaseBranch"]]
    return found


def _job(job: dict[str, Any]) -> dict[str, Any]:
    found = {**JOB, **job}
    found["builder"] = None if found["builder"] is None else {**BUILDER, **found["builder"]}
    found["stages"] = _stages(found["stages"])
    found["actions"] = [{"hideBadge": False, **action} for action in found["actions"] or ()] or None
    return found


def _stages(stages: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    return None if stages is None else [_stage(stage) for stage in stages]


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    found = _with_custom(STAGE, stage)
    found["parallelStages"] = _stages(found["parallelStages"])
    found["services"] = [_service(service) for service in found["services"] or ()] or None
    return found


def _service(service: dict[str, Any]) -> dict[str, Any]:
    found = _with_custom(SERVICE, service)
    for key in ("readiness", "readinessProbe"):
        if found[key] is not None:
            found[key] = {**PROBE, **found[key]}
    return found


def _with_custom(empty: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in given.items() if key != "customProperties"}
    return {**empty, **own, "custom": given.get("customProperties")}


def described(found: Any, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a case asks for of a tree: values by path, and lengths."""
    return {
        "values": {path: _at(found, path) for path in expected.get("values", {})},
        "counts": {path: len(_at(found, path) or ()) for path in expected.get("counts", {})},
    }


def _at(node: Any, path: str) -> Any:
    for step in re.findall(r"[^.\[\]]+", path):
        if node is None:
            return None
        node = node[int(step)] if isinstance(node, list) else node.get(step, "<absent>")
    return node
