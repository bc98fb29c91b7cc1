"""Stages that a server adds, beyond what the cases of the reference cover."""

import msgspec
import pytest
from estafette_common.manifest.injection import Forge, Injections, inject
from estafette_common.manifest.reading import read

GITHUB = Forge(name="github", takes_statuses=True, track="stable")
OTHER = Forge(name="cloudsource", takes_statuses=False, track="dev")


def names(text: str, forge: Forge = GITHUB) -> list[str]:
    return [stage.name for stage in inject(read(text), forge).stages]


def test_a_build_is_cloned_and_its_status_told() -> None:
    assert names("stages: {a: {image: x}}") == ["injected-before-hardcoded", "a", "injected-after-hardcoded"]
    assert names("stages: {a: {image: x}}", OTHER) == ["injected-before-hardcoded", "a"]


def test_a_name_that_is_taken_gets_a_number() -> None:
    text = "stages: {injected-before-hardcoded: {image: x}, injected-before-hardcoded-0: {image: x}}"

    assert names(text)[0] == "injected-before-hardcoded-1"


def test_what_is_added_is_marked_and_has_defaults() -> None:
    before = inject(read("stages: {a: {image: x}}"), GITHUB).stages[0]

    assert [(stage.auto_injected, stage.shell) for stage in (before, *before.parallel_stages)] == [
        (True, ""),
        (True, "/bin/sh"),
        (True, "/bin/sh"),
    ]


@pytest.mark.parametrize(
    ("labels", "found"),
    [("{runtime: go}", True), ("{runtime: golang}", False), ("{}", False), ("{runtime: '('}", False)],
)
def test_a_configured_stage_is_for_manifests_with_its_labels(labels: str, found: bool) -> None:
    stage = {"name": "scan", "image": "scanner:1", "labelSelector": {"runtime": "go|node"}, "depth": 3}
    injections = msgspec.convert(
        {"injectStagesPerOperatingSystem": {"linux": {"build": {"after": [stage]}}}}, Injections
    )

    stages = inject(read(f"labels: {labels}\nstages: {{a: {{image: x}}}}"), OTHER, injections).stages

    assert ("injected-after-configured" in [each.name for each in stages]) is found
    if found:
        assert stages[-1].parallel_stages[0].custom == {"depth": 3}
