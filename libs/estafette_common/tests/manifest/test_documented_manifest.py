"""What docs/manifest.md says of keys, defaults and errors is what the code does."""

import re
from pathlib import Path

import pytest
from estafette_common.manifest import when
from estafette_common.manifest.model import Custom, Semver, Stage
from estafette_common.manifest.reading import READ_HERE, READ_LATER, read
from estafette_common.manifest.yaml import ManifestError

DOCUMENT = (Path(__file__).parents[4] / "docs" / "manifest.md").read_text()

ACCEPTED = re.findall(r"```yaml\n(.*?)```", DOCUMENT, flags=re.DOTALL)
REFUSED = re.findall(r"```yaml refused\n(.*?)```\n\n```text\n(.*?)```", DOCUMENT, flags=re.DOTALL)

MINIMAL = "stages: {build: {image: busybox:latest}}"


def table_with(heading: str) -> dict[str, str]:
    """Return the last cell of each row by the texts in its first, of the table with this heading."""
    _, _, rest = DOCUMENT.partition(f"{heading}\n")
    _, *rows = rest.partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {name: row[-1] for row in cells for name in re.findall(r"`([^`]+)`", row[0])}


@pytest.mark.parametrize("example", ACCEPTED)
def test_every_example_is_read(example: str) -> None:
    assert read(example).stages


def test_every_example_is_shown_as_read_or_as_refused_with_its_findings() -> None:
    assert len(ACCEPTED) + len(REFUSED) == DOCUMENT.count("```yaml")


@pytest.mark.parametrize(("example", "findings"), REFUSED)
def test_what_is_refused_is_told_in_these_words(example: str, findings: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(example)

    assert f"{caught.value}\n" == findings


def test_the_keys_of_the_top_level_are_all_there_are() -> None:
    top, later = table_with("| key | meaning | default |"), table_with("| accepted without effect | |")

    assert (set(top), set(later)) == (set(READ_HERE), set(READ_LATER))


@pytest.mark.parametrize("key", READ_LATER)
def test_what_has_no_effect_yet_changes_nothing(key: str) -> None:
    assert read(f"{key}: {{a: b}}\n{MINIMAL}") == read(MINIMAL)


def test_the_defaults_of_a_version_are_as_they_are_told() -> None:
    told = table_with("| key | default |")
    semver, custom = Semver(), Custom()

    release_branches = told.pop("semver.releaseBranch")
    assert re.findall(r"`([^`]+)`", release_branches) == list(semver.release_branch)
    assert {key: default.strip("`") for key, default in told.items()} == {
        "semver.major": str(semver.major),
        "semver.minor": str(semver.minor),
        "semver.patch": semver.patch,
        "semver.labelTemplate": semver.label_template,
        "custom.labelTemplate": custom.label_template,
    }


def test_the_defaults_of_a_stage_are_as_they_are_told() -> None:
    told = table_with("## A stage\n\n| key | meaning | default |")
    stage = Stage(name="build")

    assert {key: told[key].strip("`") for key in ("shell", "workDir", "when", "autoInjected")} == {
        "shell": stage.shell,
        "workDir": stage.work_dir,
        "when": stage.when,
        "autoInjected": str(stage.auto_injected).lower(),
    }


@pytest.mark.parametrize("key", ["name", "runCommandsInForeground"])
def test_keys_of_a_stage_without_effect_change_nothing(key: str) -> None:
    assert read(f"stages: {{build: {{image: busybox:latest, {key}: true}}}}") == read(MINIMAL)


def test_only_the_values_of_a_stage_are_typed() -> None:
    manifest = read("env: {A: 1.10, B: on}\nlabels: {A: 1.10}\nstages: {build: {image: x, env: {A: 1.10, B: on}}}")

    assert (manifest.env, manifest.labels) == ({"A": "1.10", "B": "on"}, {"A": "1.10"})
    assert manifest.stages[0].env == {"A": "1.1", "B": "true"}


def test_every_variable_of_a_condition_is_documented() -> None:
    [row] = [line for line in DOCUMENT.splitlines() if line.startswith("| variables |")]

    assert set(re.findall(r"`([a-z]+)`", row)) - {"succeeded", "failed", "estafette"} == when.NAMES
