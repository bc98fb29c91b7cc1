"""Cases that were executed against the reference come out as there; ESTAFETTE_CONFORMANCE names their folder."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import builder_cases, manifest_cases, run_cases, trigger_cases
from tests.conformance.differences import DIFFERENCES, STRICTER

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / os.environ.get("ESTAFETTE_CONFORMANCE", "../shared/conformance")

Case = dict[str, Any]

ADAPTERS: dict[str, Callable[[Case], Case]] = {
    **dict.fromkeys(builder_cases.OPERATIONS, builder_cases.run),
    **dict.fromkeys(manifest_cases.OPERATIONS, manifest_cases.run),
    **dict.fromkeys(run_cases.OPERATIONS, run_cases.run),
    **dict.fromkeys(trigger_cases.OPERATIONS, trigger_cases.run),
}
"""By the operation of a case: returns its outcome in the shape of what it expects."""

CASES: list[Case] = [
    json.loads(line) for file in sorted(FOLDER.glob("*.jsonl")) for line in file.read_text().splitlines()
]

pytestmark = pytest.mark.skipif(not CASES, reason=f"no cases in {FOLDER}; set ESTAFETTE_CONFORMANCE")


def _cases() -> Iterator[Any]:
    for case in CASES:
        operation = case["input"]["op"]
        without = pytest.mark.skip(reason=f"nothing here does {operation!r} for the area {case['area']!r}")
        yield pytest.param(case, id=case["id"], marks=() if operation in ADAPTERS else without)


@pytest.mark.parametrize("case", [*_cases()])
def test_a_case_comes_out_as_in_the_reference(case: Case) -> None:
    outcome = ADAPTERS[case["input"]["op"]](case)

    assert (outcome == case["expect"]) == (case["id"] not in DIFFERENCES)


def test_what_is_done_otherwise_is_a_defect_of_the_reference_or_stricter() -> None:
    required = {case["id"] for case in CASES if not case.get("quirk")}

    assert DIFFERENCES.keys() & required == STRICTER & required


def test_every_operation_is_run() -> None:
    assert {case["input"]["op"] for case in CASES} <= ADAPTERS.keys()
