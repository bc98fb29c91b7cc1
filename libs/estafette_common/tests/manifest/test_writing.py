"""What is written of a manifest reads back as the same manifest."""

import pytest
from estafette_common.manifest import defaults, writing
from estafette_common.manifest.findings import Findings, ManifestError
from estafette_common.manifest.preferences import DEFAULT
from estafette_common.manifest.reading import as_written, parse, read
from hypothesis import assume, given, settings
from hypothesis import strategies as st

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t"), max_size=20
) | st.sampled_from(
    ["on", "~", "", "1.10", "1e3", "0o17", "0x1F", "012", "08", "<<", "=", "null", "a: b", "- a", "#x", "'", '"', "\\",
     "{a", "[", "*a", "&a", "!x", "%", "@", "`", "|", ">", "?", " lead", "trail ", "two\nlines", "two\nlines\n", "\n",
     "2021-06-07", "12:30", ".inf", "-", "---", "...", "y", "é", "\u2028", "\x85"]
)  # fmt: skip
NAMES = TEXTS.filter(lambda text: text not in {"", "name"})
PROPERTIES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**64 - 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
STAGE = st.fixed_dictionaries(
    {"image": TEXTS},
    optional={
        "commands": st.lists(TEXTS, max_size=3),
        "env": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "when": TEXTS,
        "workDir": TEXTS,
        "autoInjected": st.booleans(),
        "property": PROPERTIES,
        "services": st.lists(
            st.fixed_dictionaries(
                {"name": TEXTS, "image": TEXTS},
                optional={"multiStage": st.booleans(), "readiness": st.fixed_dictionaries({"path": TEXTS})},
            ),
            max_size=2,
        ),
    },
)
STAGES = st.dictionaries(NAMES, STAGE, max_size=3)
MANIFESTS = st.fixed_dictionaries(
    {"stages": STAGES},
    optional={
        "labels": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "env": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "archived": st.booleans(),
        "builder": st.fixed_dictionaries({}, optional={"os": TEXTS, "track": TEXTS, "medium": TEXTS}),
        "version": st.fixed_dictionaries(
            {},
            optional={
                "semver": st.fixed_dictionaries(
                    {"major": st.integers(-9, 9)}, optional={"releaseBranch": st.lists(TEXTS, max_size=3)}
                ),
                "custom": st.fixed_dictionaries({"labelTemplate": TEXTS}),
            },
        ),
        "triggers": st.lists(
            st.fixed_dictionaries({"name": TEXTS}, optional={"cron": st.fixed_dictionaries({"schedule": TEXTS})}),
            max_size=2,
        ),
        "releases": st.dictionaries(NAMES, st.fixed_dictionaries({"stages": STAGES}), max_size=2),
        "bots": st.dictionaries(NAMES, st.fixed_dictionaries({"stages": STAGES}), max_size=2),
    },
)


@settings(deadline=None)
@given(MANIFESTS)
def test_what_is_written_is_read_back(tree: dict[str, object]) -> None:
    written = as_written(_yaml(tree), findings := Findings())
    assume(not findings.ordered() or all(found.severity == "warning" for found in findings.ordered()))

    again = as_written(writing.to_yaml(written), Findings())

    assert again == written
    assert defaults.fill(again, DEFAULT) == defaults.fill(written, DEFAULT)


def _yaml(tree: object) -> str:
    """Return a tree as flow YAML with all texts in double quotes, which needs nothing of the writer under test."""
    if isinstance(tree, bool):
        return str(tree).lower()
    if isinstance(tree, str):
        return '"' + "".join(f"\\U{ord(letter):08x}" for letter in tree) + '"'
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(_yaml, tree)) + "]"
    return str(tree)


def test_defaults_twice_are_the_same_as_once() -> None:
    manifest = read("stages: {a: {image: x, services: [{name: d, image: y, readiness: {path: /}}]}}\nreleases: {b: }")

    assert defaults.fill(manifest, DEFAULT) == manifest


def test_parallel_stages_keep_their_names() -> None:
    text = "stages:\n  checks:\n    parallelStages:\n      lint:\n        image: x\n      test:\n        image: z\n"

    assert writing.to_yaml(as_written(text, Findings())) == text


def test_two_stages_of_one_name_stay_two() -> None:
    written = as_written("stages: {a: {image: x}, a: {image: z}}", Findings())

    assert [stage.image for stage in as_written(writing.to_yaml(written), Findings()).stages] == ["x", "z"]


@pytest.mark.parametrize(
    ("given", "told"), [("main", "main"), ("[main]", "main"), ("[a, b]", ["a", "b"]), ("[]", ["master", "main"])]
)
def test_one_release_branch_is_a_text(given: str, told: object) -> None:
    tree = writing.tree(read(f"version: {{semver: {{releaseBranch: {given}}}}}\nstages: {{a: {{image: x}}}}"))

    assert tree["version"]["semver"]["releaseBranch"] == told


def test_what_was_stored_is_read_though_it_breaks_a_rule() -> None:
    text = "builder: {track: gone}\nstages: {a: {}}"

    assert parse(text).builder.track == "gone"
    with pytest.raises(ManifestError):
        read(text)
