"""What a manifest that means harm, or was written by mistake, can and cannot do to who reads it."""

from contextlib import suppress
from pathlib import Path

import pytest
from estafette_common.manifest.findings import ManifestError
from estafette_common.manifest.reading import read
from hypothesis import given
from hypothesis import strategies as st

LONG_NUMBER = "0x" + "f" * 5_000

NAMES = st.sampled_from(
    [
        "stages",
        "pipelines",
        "labels",
        "env",
        "version",
        "semver",
        "custom",
        "major",
        "patch",
        "releaseBranch",
        "labelTemplate",
        "image",
        "commands",
        "when",
        "shell",
        "workDir",
        "autoInjected",
        "name",
        "a",
        "b",
        "<<",
        "~",
        "",
    ]
)
SCALARS = st.sampled_from(
    [
        "x",
        "1",
        "1.5",
        "-0",
        "0x1F",
        "0777",
        "1_000",
        "y",
        "null",
        "'true'",
        "2021-06-07",
        "12:30",
        ".inf",
        "!!int x",
        "status == 'succeeded'",
        "status ==",
        "'{{auto}}'",
        "'{{nope}}'",
        '"\\u00e9"',
        "|-\n  text",
        "!!binary AA==",
    ]
)


def _written(tree: object) -> str:
    if isinstance(tree, list):
        return "[" + ", ".join(map(_written, tree)) + "]"
    if isinstance(tree, dict):
        return "{" + ", ".join(f"'{name}': {_written(value)}" for name, value in tree.items()) + "}"
    return str(tree)


TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=30
)


@given(TREES.map(_written))
def test_whatever_is_written_with_the_words_of_the_language_is_read_or_told(text: str) -> None:
    with suppress(ManifestError):
        assert read(text).stages


@given(TREES.map(_written))
def test_whatever_a_stage_holds_is_read_or_told(text: str) -> None:
    with suppress(ManifestError):
        assert read(f"stages:\n  build: {text}\n").stages


@pytest.mark.parametrize(
    "text",
    [
        "x" * (512 * 1024 + 1),
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "stages: {a: {image: x}}\nlabels: {" + "a: b, " * 60_000 + "}",
        "a: &a b\nlabels: [" + "*a, " * 101 + "]",
    ],
    ids=["long", "sequences", "maps", "dashes", "nodes", "aliases"],
)
def test_what_is_too_large_is_refused_before_it_is_built(text: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(text)

    assert len(caught.value.findings) == 1


def test_an_alias_that_holds_itself_ends() -> None:
    with pytest.raises(ManifestError):
        read("stages: &a {build: *a}")


@pytest.mark.parametrize("text", ["labels: {app: \x07}", "labels: {app: \ud800}", "\x00", "\t", "%YAML 9.9\n---\na"])
def test_what_yaml_cannot_hold_is_told(text: str) -> None:
    with pytest.raises(ManifestError):
        read(text)


@pytest.mark.parametrize("stage", [f"{{image: {LONG_NUMBER}}}", f"{{image: x, env: {{A: 0{'7' * 6_000}}}}}"])
def test_a_number_of_any_length_is_read_or_told(stage: str) -> None:
    with suppress(ManifestError):
        read(f"stages: {{a: {stage}}}")


def test_an_endless_major_version_is_told() -> None:
    with pytest.raises(ManifestError):
        read("version: {semver: {major: 1e999}}\nstages: {a: {image: x}}")


@pytest.mark.parametrize("key", ["[a, b]", "{a: b}", "&k [*k]"])
def test_a_property_whose_key_is_a_list_or_map_is_told(key: str) -> None:
    with pytest.raises(ManifestError, match="a key is a list or map"):
        read(f"stages:\n  a:\n    image: x\n    p:\n      ? {key}\n      : v\n")


@pytest.mark.parametrize(("key", "open_", "close"), [("commands", "[", "]"), ("env", "{", "}")])
def test_aliases_cannot_multiply_what_a_manifest_holds(key: str, open_: str, close: str) -> None:
    items = ", ".join(f"k{number}: v" if key == "env" else "make" for number in range(2_000))
    first = f"stages:\n  a: {{image: x, {key}: &many {open_}{items}{close}}}\n"

    with pytest.raises(ManifestError):
        read(first + "".join(f"  b{number}: {{image: x, {key}: *many}}\n" for number in range(99)))


def test_the_findings_of_a_large_file_fit_into_a_message() -> None:
    with pytest.raises(ManifestError) as caught:
        read("stages:\n" + "".join(f"  stage-{number}: {{}}\n" for number in range(15_000)))

    assert len(str(caught.value)) < 100_000


def test_a_finding_repeats_no_more_than_a_line_of_the_file() -> None:
    with pytest.raises(ManifestError) as caught:
        read(f"version: {{custom: {{labelTemplate: '{{{{{'x' * 100_000}'}}}}\nstages: {{a: {{image: x}}}}")

    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "text",
    [
        'labels: {app: "a\\0"}\nstages: {a: {image: x}}',
        'stages: {"a\\0": {image: x}}',
        'stages: {a: {image: x, env: {A: "\\0"}}}',
        'version: {custom: {labelTemplate: "{{auto}}\\0"}}\nstages: {a: {image: x}}',
    ],
)
def test_nul_is_told(text: str) -> None:
    with pytest.raises(ManifestError):
        read(text)


CRASHES = sorted((Path(__file__).parents[4] / "tests" / "fuzz" / "crashes").glob("*-*"))


@pytest.mark.parametrize("file", CRASHES, ids=lambda file: file.name)
def test_what_a_fuzzer_once_broke_it_with_is_read_or_told(file: Path) -> None:
    with suppress(ManifestError):
        read(file.read_bytes().decode(errors="surrogateescape"))
