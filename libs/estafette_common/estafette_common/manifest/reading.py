"""From the text of `.estafette.yaml` to a manifest, or to everything that is wrong with it."""

from dataclasses import dataclass
from functools import lru_cache

from estafette_common.manifest import advice, defaults, model
from estafette_common.manifest.draft import modernise
from estafette_common.manifest.findings import Finding, Findings, ManifestError, Severity
from estafette_common.manifest.parsing import Parser
from estafette_common.manifest.preferences import DEFAULT, Preferences
from estafette_common.manifest.validation import Rules
from estafette_common.manifest.yaml import compose

KEPT = 200
"""Manifests that are remembered by their text: most pushes do not change theirs."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a text: the manifest with its defaults, unless there are errors, and all findings."""

    manifest: model.Manifest | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep it from being built."""
        return tuple(found for found in self.findings if found.severity is Severity.ERROR)


def read(text: str, preferences: Preferences = DEFAULT) -> model.Manifest:
    """Return the valid manifest of a text with its defaults; ManifestError holds every error otherwise."""
    checked = check(text, preferences)
    if checked.manifest is None:
        raise ManifestError(checked.errors)
    return checked.manifest


def check(text: str, preferences: Preferences = DEFAULT) -> Checked:
    """Return the manifest of a text and what is, or may be, wrong with it. Never raises."""
    if preferences is DEFAULT:
        return _check_by_default(text)
    return check_anew(text, preferences)


def parse(text: str, preferences: Preferences = DEFAULT) -> model.Manifest:
    """Return the manifest of a text with its defaults, whether or not it keeps the rules.

    For manifests that were stored: a rule that is newer than they are does not break them. Raises ManifestError when
    it cannot be read at all.
    """
    findings = Findings()
    written = as_written(text, findings)
    if errors := _errors(findings):
        raise ManifestError(errors)
    return defaults.fill(written, preferences)


def as_written(text: str, findings: Findings) -> model.Manifest:
    """Return what a text says, without defaults; what is wrong is added to the findings. Raises ManifestError."""
    root = compose(text)
    return model.Manifest() if root is None else Parser(findings).manifest(modernise(root, findings))


def check_anew(text: str, preferences: Preferences) -> Checked:
    """Do what `check` does, without remembering."""
    findings = Findings()
    try:
        written = as_written(text, findings)
    except ManifestError as error:
        return Checked(None, error.findings)
    manifest = defaults.fill(written, preferences)
    Rules(findings, preferences).check(manifest)
    advice.give(manifest, findings)
    return Checked(None if _errors(findings) else manifest, findings.ordered())


@lru_cache(maxsize=KEPT)
def _check_by_default(text: str) -> Checked:
    return check_anew(text, DEFAULT)


def _errors(findings: Findings) -> tuple[Finding, ...]:
    return tuple(found for found in findings.ordered() if found.severity is Severity.ERROR)
