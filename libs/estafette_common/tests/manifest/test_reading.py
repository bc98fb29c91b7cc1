from contextlib import suppress

import pytest
from estafette_common.manifest.model import Custom
from estafette_common.manifest.reading import read
from estafette_common.manifest.yaml import ManifestError
from hypothesis import given
from hypothesis import strategies as st

SHOP = """\
labels:
  app: shop
  release: 1.10
version:
  semver:
    major: 1
    minor: 2
env:
  GREETING: hello
stages:
  build:
    image: golang:1.22
    commands:
    - go test ./...
    - go build
    env:
      CGO_ENABLED: 0
  publish:
    image: extensions/docker:stable
    action: push
    tags: [latest, 3]
    when: status == 'succeeded' && branch == 'main'
"""


def test_a_manifest_is_read_with_its_defaults() -> None:
    manifest = read(SHOP)

    build, publish = manifest.stages
    assert manifest.labels == {"app": "shop", "release": "1.10"}
    assert (build.name, build.image, build.shell, build.work_dir) == (
        "build",
        "golang:1.22",
        "/bin/sh",
        "/estafette-work",
    )
    assert build.commands == ("go test ./...", "go build")
    assert build.env == {"CGO_ENABLED": "0"}
    assert build.when == "status == 'succeeded'"
    assert publish.properties == {"action": "push", "tags": ["latest", 3]}


def test_pipelines_is_the_old_name_of_stages() -> None:
    assert [stage.name for stage in read("pipelines: {a: {image: x}}").stages] == ["a"]


def test_a_custom_version_wins() -> None:
    text = "version: {semver: {major: 3}, custom: {labelTemplate: '{{revision}}-x'}}\nstages: {a: {image: x}}"

    assert read(text).version == Custom(label_template="{{revision}}-x")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ".estafette.yaml:1:1: stages: missing"),
        ("stages:\n  build:\n    commands: [make]\n", ".estafette.yaml:2:3: stages.build.image: missing"),
        ("stage:\n  build: {image: x}\n", "1:1: stage: unknown key; did you mean 'stages'?"),
        ("stages: {a: {image: x, commands: make}}", "1:34: stages.a.commands: not a list"),
        ("stages: {a: {image: x, when: stauts == 'x'}}", "1:30: stages.a.when: unknown variable 'stauts'"),
        ("stages: {a: {image: x, when: status ==}}", "1:30: stages.a.when: "),
        ("stages: {a: {image: x}, a: {image: y}}", "1:25: stages.a: a stage of this name exists already"),
        ("stages: {a: {parallelStages: {b: {image: x}}}}", "stages.a.parallelStages: not supported yet"),
        ("version: {semver: {major: '1'}}\nstages: {a: {image: x}}", "version.semver.major: not a whole number"),
        ("version: {semver: {patch: '{{count}}'}}\nstages: {a: {image: x}}", "unknown placeholder {{count}}"),
        ("stages: [", "not valid YAML"),
        ("[" * 60, "too deep or too large"),
        ("stages: {a: {image: x, big: &a [*a]}}", "grows without end"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, found: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(text)

    assert found in str(caught.value)


def test_all_findings_are_told_at_once_in_order() -> None:
    with pytest.raises(ManifestError) as caught:
        read("stages:\n  a: {}\n  b: {when: '('}\nlables: {}\n")

    assert [(finding.line, finding.path) for finding in caught.value.findings] == [
        (2, "stages.a.image"),
        (3, "stages.b.image"),
        (3, "stages.b.when"),
        (4, "lables"),
    ]


@given(st.text() | st.text("stage:{}[]&*!|>-'\"\n a#%@`?,").map(lambda text: f"stages:\n  {text}"))
def test_any_text_is_a_manifest_or_a_manifest_error(text: str) -> None:
    with suppress(ManifestError):
        assert read(text).stages
