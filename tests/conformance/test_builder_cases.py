"""What is done with a manifest is as in the reference; ESTAFETTE_CONFORMANCE names the folder of the cases."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import builder_cases

FOLDER = Path(os.environ.get("ESTAFETTE_CONFORMANCE", "../shared/conformance"))

DECIDED_OTHERWISE = {
    "when-050": "a text that looks like a date stays a text",
    "when-057": "variables are values: the name of a branch cannot rewrite a condition",
    "env-020": "$$ is left to the shell",
    "env-052": "hyphens in a DNS label always stand alone",
    "env-071": "ESTAFETTE_BUILD_VERSION_PATCH is the patch, also where that is no counter",
    "crypt-041": "a secret of another repository stays closed, unless that is switched on",
    "crypt-045": "an allow list is matched whole, also where it has alternatives",
    "obfuscate-009": "the longest secret is hidden first, so no tail stays",
    "obfuscate-011": "a secret is also hidden within what was encoded in base64 as a whole",
    "entrypoint-016": "a command of several lines is run whole",
    "credentials-014": "an image by its digest is the image",
}


def _cases() -> Iterator[Any]:
    if not FOLDER.is_dir():
        yield pytest.param({}, marks=pytest.mark.skip(reason=f"no folder {FOLDER}; set ESTAFETTE_CONFORMANCE"))
    for file in sorted(FOLDER.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            case = json.loads(line)
            if case["input"]["op"] in builder_cases.OPERATIONS:
                yield pytest.param(case, id=case["id"])


@pytest.mark.parametrize("case", [*_cases()])
def test_what_is_done_with_a_manifest_is_as_in_the_reference(case: dict[str, Any]) -> None:
    outcome = builder_cases.run(case)

    assert (outcome == case["expect"]) == (case["id"] not in DECIDED_OTHERWISE)
