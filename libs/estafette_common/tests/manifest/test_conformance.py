"""Cases that were executed against the reference; ESTAFETTE_CONFORMANCE names the folder that holds them."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from estafette_common.manifest import secrets, versions, when
from estafette_common.manifest.environment import dns_safe, expand, upper_snake
from estafette_common.manifest.model import Manifest, Semver, Stage
from estafette_common.manifest.reading import read
from estafette_common.manifest.yaml import ManifestError

FOLDER = os.environ.get("ESTAFETTE_CONFORMANCE")

KEYS_READ_LATER = {"archived", "builder", "triggers", "releases", "releaseTemplates", "bots"}
STAGE_KEYS_READ_LATER = {"parallelStages", "services"}

DECIDED_OTHERWISE = {
    "when-023": "there is no ternary operator",
    "when-024": "there is no ternary operator",
    "when-026": "an unknown name is told when the manifest is read, whether or not it would be looked at",
    "when-027": "an unknown name is told when the manifest is read, whether or not it would be looked at",
    "when-029": "variables are not written in brackets",
    "env-014": "references that are not ours stay as they were written",
    "crypt-047": "envelopes are opened wherever they stand in a text",
    "crypt-049": "a secret that cannot be opened is told, never handed on as it is",
}

DEFECTS = {
    "parse-102": "runCommandsInForeground is dropped",
}


def read_manifest(given: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    tree = _tree_of(read(given["yaml"]))
    return {
        "values": _values(tree, expected.get("values", {})),
        "counts": {path: len(_at(tree, path)) for path in expected.get("counts", {})},
    }


def version(given: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    body = "".join(f"  {line}\n" for line in given["yaml"].splitlines())
    spec = read(f"version:\n{body}stages: {{a: {{image: x}}}}").version
    params = given["params"]
    computed = versions.compute(spec, counter=params["auto"], branch=params["branch"], revision=params["revision"])
    return {
        "version": computed.version,
        "label": computed.label,
        "patch": computed.patch,
        "patchWithLabel": computed.version.split(".", 2)[-1],
        "values": _values({"config": _tree_of_version(spec)}, expected.get("values", {})),
    }


def evaluate(given: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    return {"result": when.evaluate(given["when"], given["params"] | given.get("env", {}))}


def decrypt(given: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return decrypt_all(given | {"text": f"estafette.secret({given['text']})"}, expected)


def decrypt_all(given: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    return {"value": secrets.decrypt_all(given["text"], key=_key(given), pipeline=given["pipeline"])}


def envelopes(given: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    secrets.plain_values(given["text"], key=_key(given), pipeline=given["pipeline"])
    return {"envelopes": [found[0] for found in secrets.ENVELOPE.finditer(given["text"])], "invalid": []}


def encrypt(given: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    envelope = secrets.encrypt(given["text"], key=_key(given))
    parts = envelope.removeprefix("estafette.secret(").removesuffix(")").split(".")
    return {"parts": len(parts), "nonceLen": len(parts[0])}


OPERATIONS: dict[str, Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]] = {
    "read_manifest": read_manifest,
    "version": version,
    "when": evaluate,
    "decrypt": decrypt,
    "decrypt_envelope": decrypt_all,
    "decrypt_all": decrypt_all,
    "builder_decrypt": decrypt_all,
    "envelopes": envelopes,
    "encrypt": encrypt,
    "expand": lambda given, _: {"value": expand(given["value"], given.get("env", {}))},
    "upper_snake": lambda given, _: {"value": upper_snake(given["value"])},
    "dns_safe": lambda given, _: {"value": dns_safe(given["value"])},
}


def _cases() -> Iterator[Any]:
    if FOLDER is None:
        yield pytest.param({}, marks=pytest.mark.skip(reason="ESTAFETTE_CONFORMANCE is not set"))
        return
    for line in (Path(FOLDER) / "manifest-cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        name = case["id"]
        if case.get("quirk") or name in DECIDED_OTHERWISE or not _in_scope(case):
            continue
        marks = [pytest.mark.xfail(strict=True, reason=DEFECTS[name])] if name in DEFECTS else []
        yield pytest.param(case, id=name, marks=marks)


def _in_scope(case: dict[str, Any]) -> bool:
    given = case["input"]
    if any(path.split(".")[0] in KEYS_READ_LATER for path in case["expect"].get("values", {})):
        return False
    if given["op"] != "read_manifest":
        return given["op"] in OPERATIONS
    if given.get("preferences") or not given.get("validate", True):
        return False
    top = next(yaml.safe_load_all(given["yaml"]), None) or {}
    if KEYS_READ_LATER & top.keys():
        return False
    stages = top.get("stages") or top.get("pipelines") or {}
    bodies = stages.values() if isinstance(stages, dict) else ()
    return not any(STAGE_KEYS_READ_LATER & body.keys() for body in bodies if isinstance(body, dict))


@pytest.mark.parametrize("case", [*_cases()])
def test_a_case_comes_out_as_in_the_reference(case: dict[str, Any]) -> None:
    expected, operation = case["expect"], OPERATIONS[case["input"]["op"]]
    if not expected.get("ok", True):
        with pytest.raises((ManifestError, secrets.SecretError, when.WhenError)):
            operation(case["input"], expected)
        return

    result = operation(case["input"], expected)

    compared = result.keys() & expected.keys()
    assert {name: result[name] for name in compared} == {name: expected[name] for name in compared}


def _key(given: dict[str, Any]) -> bytes:
    return secrets.parse_key(given["key"]) if given.get("base64Key") else str(given["key"]).encode()


def _tree_of(manifest: Manifest) -> dict[str, Any]:
    return {
        "labels": manifest.labels,
        "version": _tree_of_version(manifest.version),
        "env": manifest.env,
        "stages": [_tree_of_stage(stage) for stage in manifest.stages],
    }


def _tree_of_version(spec: Any) -> dict[str, Any]:
    if not isinstance(spec, Semver):
        return {"custom": {"labelTemplate": spec.label_template}}
    fields = {"major": spec.major, "minor": spec.minor, "patch": spec.patch, "labelTemplate": spec.label_template}
    return {"semver": fields | {"releaseBranch": list(spec.release_branch)}}


def _tree_of_stage(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "image": stage.image,
        "shell": stage.shell,
        "workDir": stage.work_dir,
        "commands": list(stage.commands),
        "when": stage.when,
        "env": stage.env,
        "autoInjected": stage.auto_injected,
        "custom": stage.properties,
    }


def _values(tree: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Return what lies at the expected paths; what is empty here may be null there."""
    found = {path: _at(tree, path) for path in expected}
    return {path: None if expected[path] is None and not value else value for path, value in found.items()}


def _at(tree: Any, path: str) -> Any:
    for step in re.findall(r"[^.\[\]]+", path):
        tree = tree[int(step)] if isinstance(tree, list) else tree.get(step, "<absent>")
    return tree
