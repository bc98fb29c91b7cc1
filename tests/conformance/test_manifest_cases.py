"""Manifests are read as the reference reads them; ESTAFETTE_CONFORMANCE names the folder of the cases."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import manifest_cases

FOLDER = Path(os.environ.get("ESTAFETTE_CONFORMANCE", "../shared/conformance"))

DECIDED_OTHERWISE = {
    "version-039": "a label is not HTML-escaped before it is made a DNS label",
    "version-040": "a placeholder that means nothing is told when the manifest is read",
    "version-047": "hyphens in a label always stand alone",
    "version-050": "a label that is cut off never ends in a hyphen",
    "version-052": "a release branch is matched whole, also where it has alternatives",
    "version-053": "a release branch is matched whole, also where it has alternatives",
}


def _cases() -> Iterator[Any]:
    if not FOLDER.is_dir():
        yield pytest.param({}, marks=pytest.mark.skip(reason=f"no folder {FOLDER}; set ESTAFETTE_CONFORMANCE"))
    for file in sorted(FOLDER.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            case = json.loads(line)
            if case["input"]["op"] in manifest_cases.OPERATIONS:
                yield pytest.param(case, id=case["id"])


@pytest.mark.parametrize("case", [*_cases()])
def test_manifests_are_read_as_in_the_reference(case: dict[str, Any]) -> None:
    outcome = manifest_cases.run(case)

    assert (outcome == case["expect"]) == (case["id"] not in DECIDED_OTHERWISE)
