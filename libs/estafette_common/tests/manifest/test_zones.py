"""How scalars, keys and names are taken in the strict and the lenient parts of a manifest."""

import pytest
from estafette_common.manifest.findings import ManifestError
from estafette_common.manifest.model import Semver, Version
from estafette_common.manifest.reading import check, read

STAGE = "stages: {a: {image: x}}\n"


def findings(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize("source", ["1.10", "0777", "yes", "1e3", "2021-06-07", "0x1F", "1_000"])
def test_labels_and_variables_of_the_manifest_keep_their_source_text(source: str) -> None:
    manifest = read(f"labels: {{a: {source}}}\nenv: {{A: {source}}}\n{STAGE}")

    assert (manifest.labels["a"], manifest.env["A"]) == (source, source)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("1.10", "1.1"),
        ("0777", "511"),
        ("0o17", "15"),
        ("0b11", "3"),
        ("0x1F", "31"),
        ("-0x1F", "-31"),
        ("1_000", "1000"),
        ("1e3", "1000"),
        ("1.0", "1"),
        ("+1", "1"),
        ("1e21", "1e+21"),
        ("0.00001", "1e-05"),
        ("Yes", "true"),
        ("off", "false"),
        ("~", ""),
        ("2021-06-07", "2021-06-07"),
        ("12:30", "12:30"),
        ("'1.10'", "1.10"),
        ('"yes"', "yes"),
    ],
)
def test_variables_of_a_stage_are_resolved_as_yaml_1_1_does(source: str, text: str) -> None:
    assert read(f"stages: {{a: {{image: x, env: {{A: {source}}}}}}}").stages[0].env["A"] == text


def test_nothing_at_all_is_an_empty_text() -> None:
    manifest = read(f"labels: {{a: , b: null}}\n{STAGE}")

    assert manifest.labels == {"a": "", "b": ""}


def test_properties_keep_texts_whole_numbers_and_truth() -> None:
    text = "stages: {a: {image: x, t: '1', c: 1, b: true, l: [x, 2, {k: off}], f: 1.50}}"

    assert read(text).stages[0].custom == {"t": "1", "c": 1, "b": True, "l": ["x", 2, {"k": False}], "f": "1.5"}


def test_a_stage_is_called_by_its_key() -> None:
    stage = read("stages: {build: {name: other, image: x}}").stages[0]

    assert (stage.name, stage.custom) == ("build", {})


@pytest.mark.parametrize("name", ["1", "on", "y", "~", "1.5"])
def test_names_that_yaml_takes_for_something_else_need_quotes(name: str) -> None:
    assert f'put quotes around it, as in "{name}"' in findings(f"stages: {{{name}: {{image: x}}}}")
    assert read(f"stages: {{'{name}': {{image: x}}}}").stages[0].name == name


def test_the_last_of_two_equal_keys_of_a_stage_wins() -> None:
    assert read("stages: {a: {image: x, image: z}}").stages[0].image == "z"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"labels: {{a: 1, a: 2}}\n{STAGE}", "1:16: labels.a: given twice"),
        (f"env: {{a: 1, a: 2}}\n{STAGE}", "1:13: env.a: given twice"),
        (f"{STAGE}{STAGE}", "2:1: stages: given twice"),
        (f"version: {{semver: {{major: 1, major: 2}}}}\n{STAGE}", "version.semver.major: given twice"),
        (f"version: {{semver: {{mayor: 1}}}}\n{STAGE}", "version.semver.mayor: unknown key; did you mean 'major'?"),
        (f"version: {{calver: x}}\n{STAGE}", "version.calver: unknown key"),
        (f"zebra: 1\n{STAGE}", "1:1: zebra: unknown key; known are archived"),
    ],
)
def test_the_strict_part_takes_known_keys_once(text: str, found: str) -> None:
    assert found in findings(text)


@pytest.mark.parametrize("key", ["archived", "builder", "triggers", "releases", "releaseTemplates", "bots"])
def test_keys_that_are_read_later_are_accepted(key: str) -> None:
    assert read(f"{key}:\n{STAGE}").stages


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", "1:1: the manifest: not a map"),
        ("text", "1:1: the manifest: not a map"),
        ("stages: [a]", "1:9: stages: not a map"),
        ("stages: {a: x}", "1:13: stages.a: not a map"),
        ("labels: [a]\nstages: {a: {image: x}}", "1:9: labels: not a map"),
        ("stages: {a: {image: [x]}}", "1:21: stages.a.image: not a text"),
        ("stages: {a: {image: x, commands: [a, [b]]}}", "1:38: stages.a.commands[1]: not a text"),
        ("stages: {a: {image: x, env: {A: {b: c}}}}", "1:33: stages.a.env.A: not a text"),
        ("stages: {a: {image: x, autoInjected: 'true'}}", "1:38: stages.a.autoInjected: neither true nor false"),
        ("stages: {a: {image: x, services: [~]}}", "1:35: stages.a.services[0]: empty"),
        ("stages: {a: {image: x, runCommandsInForeground: 'yes'}}", "runCommandsInForeground: neither true nor false"),
        ("stages: {a: {image: x, ? [b] : c}}", "1:26: stages.a: a key is a list or map"),
    ],
)
def test_what_has_the_wrong_shape_is_told_with_its_place(text: str, found: str) -> None:
    assert found in findings(text)


def test_columns_count_characters() -> None:
    assert "2:15: stages.äöü.image: not a text" in findings("stages:\n äöü: {image: []}")


def test_pipelines_counts_only_while_there_are_no_stages() -> None:
    assert [stage.name for stage in read("stages: {}\npipelines: {old: {image: x}}").stages] == ["old"]
    assert [stage.name for stage in read("stages: {new: {image: x}}\npipelines: {old: {image: x}}").stages] == ["new"]


def test_only_the_first_document_is_read() -> None:
    assert [stage.name for stage in read("stages: {a: {image: x}}\n---\nstages: 1\n").stages] == ["a"]


def test_aliases_stand_for_what_they_name() -> None:
    text = "stages:\n  a: {image: x, commands: &c [one, two]}\n  b: {image: x, commands: *c}\n"

    assert read(text).stages[1].commands == ("one", "two")


@pytest.mark.parametrize("text", ["version:\n", "version: {}\n", "version: {custom: }\n", "version: {semver: }\n"])
def test_a_version_without_content_is_the_default(text: str) -> None:
    assert read(text + STAGE).version == Version(semver=Semver())


@pytest.mark.parametrize(
    ("given", "branches"),
    [("trunk", ("trunk",)), ("[a, b]", ("a", "b")), ("''", ("master", "main")), ("[]", ("master", "main"))],
)
def test_release_branches_are_one_or_several(given: str, branches: tuple[str, ...]) -> None:
    version = read(f"version: {{semver: {{releaseBranch: {given}}}}}\n{STAGE}").version

    assert version.semver is not None
    assert version.semver.release_branch == branches


@pytest.mark.parametrize(
    "template", ["{{count}}", "{{ if branch }}x{{ end }}", "{{}}", "{{auto", "{{.branch}}", "{{auto|html}}"]
)
def test_an_unknown_placeholder_is_told(template: str) -> None:
    assert "something else in double braces" in findings(
        f"version: {{custom: {{labelTemplate: '{template}'}}}}\n{STAGE}"
    )


@pytest.mark.parametrize("text", ["' '", "status =="])
def test_a_condition_that_is_none_is_told_when_it_is_read(text: str) -> None:
    assert [found.rule for found in check(f"stages: {{a: {{image: 'x:1', when: {text}}}}}").findings] == ["when"]


@pytest.mark.parametrize("part", ["services", "parallelStages"])
def test_an_empty_part_is_no_part(part: str) -> None:
    assert read(f"stages: {{a: {{image: x, {part}: }}}}").stages


def test_a_merge_key_brings_what_it_names_where_keys_are_strict() -> None:
    text = f"labels: &l {{a: b}}\nenv:\n  <<: *l\n  C: d\n{STAGE}"

    assert read(text).env == {"a": "b", "C": "d"}


def test_an_image_that_is_no_text_is_told_once() -> None:
    assert len(findings("stages: {a: {image: []}}").splitlines()) == 1


def test_a_finding_names_the_key_that_was_written() -> None:
    assert "pipelines.a.commands" in findings("pipelines: {a: {image: x, commands: make}}")
