"""Findings, for people with the line and a caret, for machines as JSON or SARIF."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from estafette_common.manifest.findings import Finding, Severity
from estafette_common.manifest.reading import Checked
from rich.console import Console
from rich.text import Text

COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}

WIDEST = 160
"""Characters of a line of the file that are shown."""

SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in a file."""

    file: Path
    text: str
    checked: Checked


def print_text(reports: Sequence[Report], *, to: IO[str] | None = None) -> None:
    """Print each finding with its line and a caret below its column, and a sum."""
    console = Console(file=to or sys.stdout, highlight=False, soft_wrap=True)
    for report in reports:
        lines = report.text.splitlines()
        for found in report.checked.findings:
            console.print(_headline(report.file, found))
            if found.line <= len(lines):
                _print_place(console, lines[found.line - 1], found)
        if not report.checked.findings:
            console.print(Text(f"{report.file}: valid", style="green"))
    counts = {
        severity: sum(found.severity is severity for report in reports for found in report.checked.findings)
        for severity in Severity
    }
    if any(counts.values()):
        console.print(", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items()))


def _headline(file: Path, found: Finding) -> Text:
    text = Text(f"{file}:{found.line}:{found.column}: ")
    text.append(found.severity.value, style=COLOURS[found.severity])
    path = f"{found.path}: " if found.path else ""
    return text.append(f": {path}{found.message} [{found.rule}]")


def _print_place(console: Console, line: str, found: Finding) -> None:
    start = max(found.column - WIDEST // 2, 0) if len(line) > WIDEST else 0
    shown = line[start : start + WIDEST].replace("\t", " ")
    console.print(Text(f"  {shown}", style="dim"))
    console.print(Text(" " * (found.column - start + 1) + "^", style=COLOURS[found.severity]))


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it."""
    return {
        "file": str(report.file),
        "valid": report.checked.manifest is not None,
        "findings": [
            {
                "rule": found.rule,
                "severity": found.severity.value,
                "path": found.path,
                "line": found.line,
                "column": found.column,
                "message": found.message,
            }
            for found in report.checked.findings
        ],
    }


def as_sarif(reports: Sequence[Report]) -> dict[str, Any]:
    """Return reports as SARIF 2.1.0 (OASIS), which code hosts show beside the lines."""
    results = [_result(report.file, found) for report in reports for found in report.checked.findings]
    rules = sorted({found.rule for report in reports for found in report.checked.findings})
    driver = {
        "name": "estafette",
        "version": version("estafette-cli"),
        "informationUri": "https://estafette.io",
        "rules": [{"id": rule} for rule in rules],
    }
    return {"$schema": SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(file: Path, found: Finding) -> dict[str, Any]:
    place = {"startLine": found.line, "startColumn": found.column}
    location = {"physicalLocation": {"artifactLocation": {"uri": file.as_posix()}, "region": place}}
    path = f"{found.path}: " if found.path else ""
    return {
        "ruleId": found.rule,
        "level": found.severity.value,
        "message": {"text": f"{path}{found.message}"},
        "locations": [location],
    }
