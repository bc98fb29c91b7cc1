"""Triggers decide as the reference did; ESTAFETTE_CONFORMANCE names the folder of the cases."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import trigger_cases

FOLDER = Path(os.environ.get("ESTAFETTE_CONFORMANCE", "../shared/conformance"))

OPERATIONS = {"trigger_fires", "all_triggers", "validate_trigger"}

DECIDED_OTHERWISE = {
    "trigger-065": "a Bitbucket trigger fires for the events it lists, not for all",
    "trigger-080": "@every fires at each multiple of its duration, not only when that is a minute",
}


def _cases() -> Iterator[Any]:
    if not FOLDER.is_dir():
        yield pytest.param({}, marks=pytest.mark.skip(reason=f"no folder {FOLDER}; set ESTAFETTE_CONFORMANCE"))
    for file in sorted(FOLDER.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            case = json.loads(line)
            if case["input"]["op"] in OPERATIONS:
                yield pytest.param(case, id=case["id"])


@pytest.mark.parametrize("case", [*_cases()])
def test_triggers_are_as_in_the_reference(case: dict[str, Any]) -> None:
    if case.get("quirk") and case["id"] not in DECIDED_OTHERWISE:
        pytest.skip("a defect of the reference")

    outcome = trigger_cases.run(case)

    assert (outcome == case["expect"]) == (case["id"] not in DECIDED_OTHERWISE)
