"""What docs/manifest.md says of keys, defaults and errors is what the code does. Run it to renew the tables."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from estafette_common.manifest import when
from estafette_common.manifest.findings import ManifestError
from estafette_common.manifest.model import Custom, Manifest, Semver
from estafette_common.manifest.parsing import MANIFEST_KEYS
from estafette_common.manifest.reading import check, read
from estafette_common.manifest.reference import KEYS
from estafette_common.manifest.schema import schema

FILE = Path(__file__).parents[4] / "docs" / "manifest.md"
DOCUMENT = FILE.read_text()

ACCEPTED = re.findall(r"```yaml\n(.*?)```", DOCUMENT, flags=re.DOTALL)
REFUSED = re.findall(r"```yaml refused\n(.*?)```\n\n```text\n(.*?)```", DOCUMENT, flags=re.DOTALL)

TABLE = re.compile(r"(<!-- keys: (\w+) -->\n)(?:\n\|.*?\n(?=\n))?", flags=re.DOTALL)


def with_tables(document: str) -> str:
    """Return the document with each table of keys as the code has it."""
    kinds = {kind.__name__: keys for kind, keys in KEYS.items()}

    def table(found: re.Match[str]) -> str:
        rows = [f"| `{key}` | {told.meaning} | {told.default} |" for key, told in kinds[found[2]].items()]
        return "\n".join([f"{found[1]}", "| key | meaning | default |", "|---|---|---|", *rows, ""])

    return TABLE.sub(table, document)


def test_the_tables_of_keys_are_those_of_the_code() -> None:
    assert with_tables(DOCUMENT) == DOCUMENT


def test_every_part_of_a_manifest_has_a_table() -> None:
    assert set(re.findall(r"<!-- keys: (\w+) -->", DOCUMENT)) == {kind.__name__ for kind in KEYS}


def test_the_reference_names_every_key_that_is_read() -> None:
    assert {*KEYS[Manifest], "pipelines"} == set(MANIFEST_KEYS)


@pytest.mark.parametrize("example", ACCEPTED)
def test_every_example_is_read_without_a_finding(example: str) -> None:
    assert check(example).findings == ()


def test_every_key_has_an_example() -> None:
    shown = {key for example in ACCEPTED for key in _keys(yaml.safe_load(example))}
    documented = {key for kind, keys in KEYS.items() for key in keys}

    assert documented - shown - {"event"} == set()


def _keys(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {str(key) for key in node} | {key for value in node.values() for key in _keys(value)}
    if isinstance(node, list):
        return {key for item in node for key in _keys(item)}
    return set()


def test_every_example_is_shown_as_read_or_as_refused_with_its_findings() -> None:
    assert len(ACCEPTED) + len(REFUSED) == DOCUMENT.count("```yaml")


@pytest.mark.parametrize(("example", "findings"), REFUSED)
def test_what_is_refused_is_told_in_these_words(example: str, findings: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(example)

    assert f"{caught.value}\n" == findings


def test_the_defaults_are_as_they_are_told() -> None:
    manifest = read("stages: {build: {image: 'busybox:1.36'}}")
    [stage] = manifest.stages
    told = {(kind.__name__, key): text.default for kind, keys in KEYS.items() for key, text in keys.items()}

    assert manifest.version.semver == Semver()
    assert [told["Semver", key] for key in ("major", "minor", "patch", "labelTemplate")] == [
        f"`{value}`" for value in (Semver().major, Semver().minor, Semver().patch, Semver().label_template)
    ]
    assert re.findall(r"`(\w+)`", told["Semver", "releaseBranch"]) == list(Semver().release_branch)
    assert told["Custom", "labelTemplate"] == f"`{Custom().label_template}`"
    assert f"`{stage.when}`" == told["Stage", "when"]
    assert told["Stage", "shell"].startswith(f"`{stage.shell}`")
    assert told["Stage", "workDir"].startswith(f"`{stage.work_dir}`")


def test_only_the_values_of_a_stage_are_typed() -> None:
    manifest = read("env: {A: 1.10, B: on}\nlabels: {A: 1.10}\nstages: {build: {image: x, env: {A: 1.10, B: on}}}")

    assert (manifest.env, manifest.labels) == ({"A": "1.10", "B": "on"}, {"A": "1.10"})
    assert manifest.stages[0].env == {"A": "1.1", "B": "true"}


def test_every_variable_of_a_condition_is_documented() -> None:
    [row] = [line for line in DOCUMENT.splitlines() if line.startswith("| variables |")]

    assert set(re.findall(r"`([a-z]+)`", row)) - {"succeeded", "failed", "estafette"} == when.NAMES


def test_the_schema_takes_every_example_and_refuses_unknown_keys() -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    validator = jsonschema.validator_for(schema())

    assert [example for example in ACCEPTED if not validator.is_valid(yaml.safe_load(example))] == []
    assert not validator.is_valid({"lables": {}})
    assert not validator.is_valid({"stages": {"a": {"commands": "make"}}})


if __name__ == "__main__":
    FILE.write_text(with_tables(DOCUMENT))
