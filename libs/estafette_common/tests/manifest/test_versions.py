import re

import pytest
from estafette_common.manifest import versions
from estafette_common.manifest.model import Custom, Semver, Version
from hypothesis import given
from hypothesis import strategies as st

REVISION = "81f3c0de5b7a4d2e9c1f6a8b0d3e5f7a9b1c3d5e"
BRANCHES = st.text() | st.text("aZ9-/.", max_size=80)


def version_of(spec: Semver | Custom) -> Version:
    return Version(semver=spec) if isinstance(spec, Semver) else Version(custom=spec)


def compute(spec: Semver | Custom, *, branch: str = "topic") -> str:
    return versions.compute(version_of(spec), counter=42, branch=branch, revision=REVISION).version


@given(BRANCHES)
def test_any_branch_gives_a_label_that_a_host_may_have(branch: str) -> None:
    label = versions.compute(version_of(Semver()), counter=42, branch=branch, revision=REVISION).label

    assert re.fullmatch(r"([a-z]([a-z0-9-]{0,61}[a-z0-9])?)?", label or "")


@given(BRANCHES)
def test_a_version_ends_in_its_label_or_with_its_patch(branch: str) -> None:
    assert re.fullmatch(r"0\.0\.42(-[a-z]([a-z0-9-]*[a-z0-9])?)?", compute(Semver(), branch=branch))


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        ("topic", "0.0.42-topic"),
        ("main", "0.0.42"),
        ("master", "0.0.42"),
        ("Main", "0.0.42-main"),
        ("it's", "0.0.42-it-s"),
        ("a+b&c", "0.0.42-a-b-c"),
        ("20.4.1", "0.0.42-branch-20-4-1"),
        ("_1foo", "0.0.42-foo"),
        ("-19", "0.0.42"),
        ("fünf", "0.0.42-f-nf"),
        ("a" * 62 + "-b", f"0.0.42-{'a' * 62}"),
    ],
)
def test_off_the_release_branches_the_branch_is_the_label(branch: str, expected: str) -> None:
    assert compute(Semver(), branch=branch) == expected


@pytest.mark.parametrize(
    ("template", "label"),
    [
        ("{{auto}}-{{branch}}", "auto-42-topic"),
        ("7-rc", "label-7-rc"),
        ("{{ revision }}", f"revision-{REVISION}"),
        ("rc", "rc"),
    ],
)
def test_a_label_never_begins_with_a_digit(template: str, label: str) -> None:
    assert compute(Semver(label_template=template)) == f"0.0.42-{label}"


@pytest.mark.parametrize(
    ("pattern", "branch", "released"),
    [
        ("trunk", "trunk", True),
        (" trunk ", "trunk", True),
        ("trunk", "my-trunk", False),
        ("master|trunk", "masterpiece", False),
        ("master|trunk", "not-trunk", False),
        ("master|trunk", "trunk", True),
        ("release/.+", "release/1.0", True),
        ("release/.+", "release/", False),
        ("x(", "x(", False),
        ("(?=x)x", "x", False),
    ],
)
def test_a_release_branch_is_matched_whole(pattern: str, branch: str, released: bool) -> None:
    assert (compute(Semver(release_branch=(pattern,)), branch=branch) == "0.0.42") is released


def test_a_release_branch_has_a_label_of_its_own() -> None:
    assert versions.compute(version_of(Semver()), counter=42, branch="main", revision=REVISION).label == "main"


def test_placeholders_in_a_branch_are_not_replaced() -> None:
    assert compute(Custom(label_template="{{branch}}"), branch="{{revision}}") == "{{revision}}"


def test_a_custom_version_is_its_template() -> None:
    assert compute(Custom(label_template="{{branch}}.{{ auto }}+{{revision}}")) == f"topic.42+{REVISION}"


def test_the_patch_is_what_the_manifest_says() -> None:
    assert versions.compute(version_of(Semver(patch="3")), counter=42, branch="main", revision=REVISION).patch == "3"


@pytest.mark.parametrize("branch", ["a---b", "a-----b"])
def test_hyphens_stand_alone(branch: str) -> None:
    assert compute(Semver(), branch=branch) == "0.0.42-a-b"
