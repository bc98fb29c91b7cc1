"""What is wrong in a manifest, or may be: where it is, which rule says so, and what to write instead."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

FILE = ".estafette.yaml"

MOST_FINDINGS = 100
"""Told at once; more help nobody."""


class Severity(StrEnum):
    """Whether a manifest with the finding can be built."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding; line and column count from 1."""

    rule: str
    """`unknown-key`; the rules are listed in docs/manifest.md."""
    severity: Severity = Severity.ERROR
    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Return the finding as one line: where, what, and what to write instead."""
        where = f"{FILE}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ManifestError(Exception):
    """A manifest is not valid; `findings` say why, in the order of the file."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


class Findings:
    """Collects findings, and knows where each path of the manifest stands in its text."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._wrong: set[str] = set()
        self._marks: dict[str, Any] = {}

    def mark(self, path: str, mark: Any) -> None:
        """Remember where a path stands; `mark` is the parser's."""
        self._marks[path] = mark

    def error(self, rule: str, path: str, message: str, *, at: Any = None) -> None:
        """Add what makes the manifest unusable, at a mark or else where the path stands."""
        if path in self._wrong:  # it reads as empty, and what follows from that is not told again
            return
        self._wrong.add(path)
        self._add(rule, Severity.ERROR, path, message, at)

    def warning(self, rule: str, path: str, message: str, *, at: Any = None) -> None:
        """Add what is probably not meant so."""
        if path not in self._wrong:
            self._add(rule, Severity.WARNING, path, message, at)

    def ordered(self) -> tuple[Finding, ...]:
        """Return the findings in the order of the file, errors first where there are too many."""
        errors_first = sorted(self._found, key=lambda found: found.severity is Severity.WARNING)
        return tuple(sorted(errors_first[:MOST_FINDINGS], key=lambda found: (found.line, found.column)))

    def _add(self, rule: str, severity: Severity, path: str, message: str, at: Any) -> None:
        mark = at or self._nearest(path)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        self._found.append(Finding(rule=rule, severity=severity, path=path, line=line, column=column, message=message))

    def _nearest(self, path: str) -> Any:
        """Return the mark of a path, or of what it lies in."""
        while path and path not in self._marks:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._marks.get(path)
