"""`estafette manifest` as people and scripts run it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GOOD = "stages:\n  build:\n    image: golang:1.22\n    commands: [make]\n"
DOUBTFUL = "stages:\n  build:\n    image: golang\n"
BAD = "lables: {a: b}\nstages:\n  build:\n    commands: [make]\n"

CORPUS = Path(os.environ.get("ESTAFETTE_CORPUS", "../shared/manifest-corpus"))


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", "manifest", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    texts = {"good": GOOD, "doubtful": DOUBTFUL, "bad": BAD}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return {name: str(tmp_path / f"{name}.yaml") for name in [*texts, "missing"]}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["good"], 0),
        (["doubtful"], 0),
        (["bad"], 1),
        (["missing"], 2),
        (["good", "bad"], 1),
        (["bad", "missing", "good"], 2),
    ],
)
def test_the_exit_code_says_whether_it_is_valid(files: dict[str, str], given: list[str], code: int) -> None:
    assert run("validate", *(files[name] for name in given)).returncode == code


def test_a_finding_is_told_with_its_line_and_a_caret(files: dict[str, str]) -> None:
    told = run("validate", files["bad"]).stdout.splitlines()

    assert told[:3] == [
        f"{files['bad']}:1:1: error: lables: unknown key; did you mean 'labels'? [unknown-key]",
        "  lables: {a: b}",
        "  ^",
    ]
    assert told[-1] == "2 errors, 0 warnings"


def test_a_caret_stands_below_its_column(files: dict[str, str]) -> None:
    _, line, caret, _ = run("validate", files["doubtful"]).stdout.splitlines()

    assert (line, caret) == ("      image: golang", "      ^")


def test_a_file_that_is_not_there_is_named(files: dict[str, str]) -> None:
    result = run("validate", files["missing"])

    assert result.stderr == f"{files['missing']}: No such file or directory\n"


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: \xff")

    result = run("validate", str(tmp_path / "x.yaml"))

    assert (result.returncode, "not UTF-8 (byte 3)" in result.stderr) == (2, True)


def test_findings_are_json_for_machines(files: dict[str, str]) -> None:
    good, bad = json.loads(run("validate", "--format", "json", files["good"], files["bad"]).stdout)

    assert (good["valid"], good["findings"]) == (True, [])
    assert bad["valid"] is False
    assert bad["findings"][0] == {
        "rule": "unknown-key",
        "severity": "error",
        "path": "lables",
        "line": 1,
        "column": 1,
        "message": "unknown key; did you mean 'labels'?",
    }


def test_findings_are_sarif_for_code_hosts(files: dict[str, str]) -> None:
    told = json.loads(run("validate", "--format", "sarif", files["bad"]).stdout)

    [result] = [each for each in told["runs"][0]["results"] if each["ruleId"] == "unknown-key"]
    assert told["version"] == "2.1.0"
    assert result["level"] == "error"
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": files["bad"]},
        "region": {"startLine": 1, "startColumn": 1},
    }


def test_a_manifest_is_shown_with_its_defaults(files: dict[str, str]) -> None:
    shown = run("show", files["good"]).stdout
    told = json.loads(run("show", "--format", "json", files["good"]).stdout)

    assert "when: status == 'succeeded'" in shown
    assert told["stages"][0]["workDir"] == "/estafette-work"
    assert run("show", "-", text=shown).stdout == shown


def test_a_version_is_that_of_the_build(files: dict[str, str]) -> None:
    assert run("version", files["good"], "--counter", "12", "--branch", "Fix/it").stdout == "0.0.12-fix-it\n"
    assert run("version", files["bad"]).returncode == 1


def test_what_is_migrated_is_valid() -> None:
    migrated = run("migrate", "-", text="label: {app: shop}\npipeline: {build: {image: 'golang:1.22'}}\n")

    assert migrated.stdout.startswith("labels:\n  app: shop\n")
    assert run("validate", "-", text=migrated.stdout).stdout == "-: valid\n"


def test_what_cannot_be_migrated_is_told(files: dict[str, str]) -> None:
    result = run("migrate", files["bad"])

    assert (result.returncode, result.stdout) == (1, "")
    assert "lables" in result.stderr


def test_the_schema_is_json_schema() -> None:
    assert json.loads(run("schema").stdout)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_no_command_is_a_question_for_help() -> None:
    result = run()

    assert result.returncode == 2
    assert "validate" in result.stdout + result.stderr


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no folder {CORPUS}; set ESTAFETTE_CORPUS")
def test_real_manifests_are_understood_as_the_reference_understands_them() -> None:
    expected = [json.loads(line) for line in (CORPUS / "expected.jsonl").read_text().splitlines()]

    shown = run("show", "--format", "jsonl", *(str(CORPUS / "manifests" / each["file"]) for each in expected))

    assert [_verdict(json.loads(line)) for line in shown.stdout.splitlines()] == [_verdict(each) for each in expected]


def _verdict(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line without the words of an error, which are our own."""
    return line | {"error": "rejected"} if "error" in line else line
