from contextlib import suppress

import pytest
from estafette_common.manifest.findings import ManifestError
from estafette_common.manifest.model import Custom, Version
from estafette_common.manifest.reading import check, read
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
    assert publish.custom == {"action": "push", "tags": ["latest", 3]}


def test_pipelines_is_the_old_name_of_stages() -> None:
    assert [stage.name for stage in read("pipelines: {a: {image: x}}").stages] == ["a"]


def test_a_custom_version_wins() -> None:
    text = "version: {semver: {major: 3}, custom: {labelTemplate: '{{revision}}-x'}}\nstages: {a: {image: x}}"

    assert read(text).version == Version(custom=Custom(label_template="{{revision}}-x"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ".estafette.yaml:1:1: stages: missing"),
        ("stages:\n  build:\n    commands: [make]\n", ".estafette.yaml:2:3: stages.build.image: missing"),
        ("stage:\n  build: {image: x}\n", "1:1: stage: unknown key; did you mean 'stages'?"),
        ("stages: {a: {image: x, commands: make}}", "1:34: stages.a.commands: not a list"),
        ("stages: {a: {image: x, parallelStages: {b: {image: x}}}}", "1:14: stages.a.image: not beside parallelStages"),
        ("version: {semver: {major: '1'}}\nstages: {a: {image: x}}", "version.semver.major: not a whole number"),
        ("version: {semver: {patch: '{{count}}'}}\nstages: {a: {image: x}}", "holds something else in double braces"),
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
        read("builder: {track: nightly}\nstages:\n  a: {}\n  b: {}\nenv: {A: 1}\nreleases: {live: {stages: {a: {}}}}\n")

    assert [(finding.line, finding.path) for finding in caught.value.findings] == [
        (1, "builder.track"),
        (3, "stages.a.image"),
        (4, "stages.b.image"),
        (6, "releases.live.stages.a.image"),
    ]


@given(st.text() | st.text("stage:{}[]&*!|>-'\"\n a#%@`?,").map(lambda text: f"stages:\n  {text}"))
def test_any_text_is_a_manifest_or_a_manifest_error(text: str) -> None:
    with suppress(ManifestError):
        assert read(text).stages


@pytest.mark.parametrize(
    ("text", "rule", "place"),
    [
        ("stages: {a: {image: x:1, when: stauts == 'x'}}", "when", "1:26: stages.a.when: unknown variable 'stauts'"),
        ("stages: {a: {image: x:1, when: status ==}}", "when", "1:26: stages.a.when: "),
        ("stages: {a: {image: x:1}, a: {image: y:1}}", "duplicate-name", "1:27: stages.a: "),
        ("stages: {a: {image: x:1, image: y:1}}", "duplicate-key", "1:26: stages.a.image: given twice; the last"),
        ("stages: {a: {image: x:1}}\nreleases: {b: {stagse: {}}}", "unknown-key", "did you mean 'stages'?"),
        (
            "stages: {a: {image: x:1}}\nreleases: {b: {template: c}}",
            "unknown-template",
            "2:16: releases.b.template: no",
        ),
        ("stages: {a: {image: golang}}", "image-tag", "stages.a.image: golang names no tag"),
        ("stages: {a: {image: golang:latest}}", "image-tag", "golang:latest"),
        ("stages: {a: {image: registry:5000/golang}}", "image-tag", "names no tag"),
        ("pipelines: {a: {image: x:1}}", "deprecated", "pipelines: an old name"),
        ("stages: {a: {parallelStages: {b: {}}}}", "no-image", "stages.a.parallelStages.b.image"),
        ("stages: {a: {parallelStages: {b: {image: x:1, parallelStages: {c: {}}}}}}", "no-effect", "only one level"),
        ("stages: {a: {image: x:1, commands: [b], timeout: soon}}", "attempts", "no duration"),
        ("stages: {a: {image: x:1, commands: [b], timeout: 0s}}", "attempts", "no duration"),
        ("stages: {a: {image: x:1, retries: often}}", "attempts", "no number of tries"),
        ("stages: {a: {parallelStages: {b: {image: x:1, retries: -1}}}}", "attempts", "no number of tries"),
        ("stages: {a: {image: x:1, resumable: maybe}}", "attempts", "neither true nor false"),
        ("stages: {a: {image: x:1, services: [{image: y:1}]}}", "service", "stages.a.services[0].name"),
        (
            "stages: {a: {image: x:1, services: [{name: d, image: y:1, readiness: {exec: {}}}]}}",
            "readiness",
            "has no command",
        ),
        ("triggers: [{git: {repository: r, branch: '('}}]\nstages: {a: {image: x:1}}", "trigger_pattern", "1:34: "),
        ("version: {semver: {releaseBranch: '('}}\nstages: {a: {image: x:1}}", "regex", "version.semver.releaseBranch"),
        ("stages:\n  a: &base {image: x:1}\n  b: {<<: *base, image: z:1}\n", "merge-key", "3:7: stages.b.<<"),
    ],
)
def test_what_is_accepted_but_hardly_meant_is_a_warning(text: str, rule: str, place: str) -> None:
    checked = check(text)

    assert checked.manifest is not None
    [found] = [found for found in checked.findings if found.rule == rule]
    assert place in str(found)


@pytest.mark.parametrize(
    "image", ["golang:1.22", "registry:5000/golang:1.22", "x@sha256:0", "x:${ESTAFETTE_BUILD_VERSION}"]
)
def test_an_image_that_stays_what_it_is_is_no_finding(image: str) -> None:
    assert check(f"stages: {{a: {{image: '{image}'}}}}").findings == ()
