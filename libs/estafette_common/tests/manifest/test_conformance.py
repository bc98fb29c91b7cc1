"""Cases that were executed against the reference; ESTAFETTE_CONFORMANCE names the folder that holds them."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from estafette_common.manifest import secrets, when
from estafette_common.manifest.environment import dns_safe, expand, upper_snake

FOLDER = os.environ.get("ESTAFETTE_CONFORMANCE")

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
        if case.get("quirk") or name in DECIDED_OTHERWISE or case["input"]["op"] not in OPERATIONS:
            continue
        yield pytest.param(case, id=name)


@pytest.mark.parametrize("case", [*_cases()])
def test_a_case_comes_out_as_in_the_reference(case: dict[str, Any]) -> None:
    expected, operation = case["expect"], OPERATIONS[case["input"]["op"]]
    if not expected.get("ok", True):
        with pytest.raises((secrets.SecretError, when.WhenError)):
            operation(case["input"], expected)
        return

    result = operation(case["input"], expected)

    compared = result.keys() & expected.keys()
    assert {name: result[name] for name in compared} == {name: expected[name] for name in compared}


def _key(given: dict[str, Any]) -> bytes:
    return secrets.parse_key(given["key"]) if given.get("base64Key") else str(given["key"]).encode()
