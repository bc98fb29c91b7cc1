"""Whether a rebuild can go on where a build failed."""

from dataclasses import replace

import pytest
from manifest_planner.planning import BuildRow
from manifest_planner.resuming import why_not

FAILED = BuildRow(
    id="7",
    source="github.com",
    owner="acme",
    name="shop",
    branch="main",
    revision="a" * 40,
    counter=7,
    version="1.0.7",
    status="failed",
    installation=None,
    outcome="failed",
    runtime="local",
    manifest="stages: {build: {image: busybox:1, commands: [make], resumable: true}}",
)


def test_a_build_with_resumable_stages_that_ran_on_a_machine_can_be_gone_on_with() -> None:
    assert why_not(FAILED) == ""


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (replace(FAILED, outcome="rejected", runtime=""), "was rejected before its first stage"),
        (replace(FAILED, outcome="canceled", runtime=""), "was never started"),
        (replace(FAILED, runtime="kubernetes"), "ran in kubernetes, where the workspace is gone with its job"),
        (replace(FAILED, manifest="stages: {build: {image: busybox:1, commands: [make]}}"), "none can be passed over"),
    ],
)
def test_where_nothing_can_be_passed_over_the_reason_is_told(build: BuildRow, reason: str) -> None:
    assert reason in why_not(build)
