"""The format of 2017, and what becomes of it."""

from contextlib import suppress

import pytest
from estafette_common.manifest import writing
from estafette_common.manifest.findings import Findings, ManifestError
from estafette_common.manifest.reading import as_written, check, read
from hypothesis import given
from hypothesis import strategies as st

DRAFT = """\
label:
  app: shop

version:
  semver:
    major: 1
    patch: $ESTAFETTE_BUILD_COUNTER

pipeline:
  build:
    image: golang:1.8.0-alpine
    commands:
    - go build -o ./publish/$LABEL_APP .

  dockerize:
    image: estafette/dockerizer:latest
    repo: acme/${LABEL_APP}
    tags: [ stable, $VERSION ]
    when:
      branch: [ master, main ]

  git-build-status:
    image: estafette/git-build-status:latest

  tell:
    image: estafette/slack-build-status:latest
    when:
      status: [ failure ]

deployment:
  env:
    REPLICAS: 3
    LEVEL: INFO

  staging:
    image: estafette/gke-deploy:latest
    cluster: staging
    env:
      LEVEL: DEBUG
"""


def test_a_draft_is_read_in_todays_words() -> None:
    manifest = read(DRAFT)

    build, dockerize, tell = manifest.stages
    assert manifest.labels == {"app": "shop"}
    assert manifest.version.semver is not None
    assert manifest.version.semver.patch == "{{auto}}"
    assert build.commands == ("go build -o ./publish/${ESTAFETTE_LABEL_APP} .",)
    assert dockerize.custom == {"repo": "acme/${ESTAFETTE_LABEL_APP}", "tags": ["stable", "${ESTAFETTE_BUILD_VERSION}"]}
    assert dockerize.when == "status == 'succeeded' && (branch == 'master' || branch == 'main')"
    assert tell.when == "status == 'failed'"
    assert [stage.image for stage in (dockerize, tell)] == [
        "extensions/docker:stable",
        "extensions/slack-build-status:stable",
    ]


def test_a_target_of_a_draft_is_a_release_with_one_stage() -> None:
    [release] = read(DRAFT).releases
    [stage] = release.stages

    assert (release.name, stage.name, stage.image) == ("staging", "deploy", "extensions/gke:stable")
    assert stage.env == {"REPLICAS": "3", "LEVEL": "DEBUG"}
    assert stage.custom == {"cluster": "staging"}


def test_each_old_construct_is_told_where_it_stands() -> None:
    told = {(found.rule, found.line) for found in check(DRAFT).findings}

    assert told == {("deprecated", line) for line in (1, 7, 9, 13, 16, 17, 18, 20, 22, 26, 28, 30, 32, 35, 36)}


def test_the_modern_form_of_a_draft_has_no_finding() -> None:
    modern = writing.to_yaml(as_written(DRAFT, Findings()))

    assert check(modern).findings == ()
    assert read(modern) == read(DRAFT)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("label: {a: b}\nstages: {a: {image: x:1}}", "label: unknown key; did you mean 'labels'?"),
        ("pipeline: {}\nstages: {a: {image: x:1}}", "pipeline: unknown key; did you mean 'pipelines'?"),
        ("stages: {a: {image: x:1, when: {branch: main}}}", "stages.a.when: not a text"),
    ],
)
def test_a_mistake_in_a_modern_manifest_is_no_draft(text: str, hint: str) -> None:
    with pytest.raises(ManifestError, match=hint.replace("?", r"\?")):
        read(text)


@given(st.text("label:pnedyvrsi{}[]&*!|>-'\" $VERSION_\n#,.", max_size=200))
def test_any_draft_is_read_or_told(text: str) -> None:
    with suppress(ManifestError):
        read(f"pipeline:\n  a: {text}\n")


@pytest.mark.parametrize("text", ["pipeline: {a: {image: x, b: &b [*b]}}", "pipeline: {a: {image: x, when: {[a]: b}}}"])
def test_what_has_no_end_ends(text: str) -> None:
    with pytest.raises(ManifestError):
        read(text)
