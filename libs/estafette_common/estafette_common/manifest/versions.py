"""The version of a build, from what the manifest says and the build's counter, branch and revision."""

import re
from collections.abc import Iterable

import re2

from estafette_common.jobs.plan import Version as BuildVersion
from estafette_common.manifest.model import Semver, Version

PLACEHOLDER = re.compile(r"\{\{\s*(\w*)\s*\}\}")
PLACEHOLDERS = ("auto", "branch", "revision")
LONGEST_LABEL = 63
QUOTED = 100
"""Characters of a template that a finding repeats."""


def template_fault(template: str) -> str:
    """Return what is wrong with a template, or nothing: only placeholders may stand in double braces."""
    if "{{" not in PLACEHOLDER.sub(lambda found: "" if found[1] in PLACEHOLDERS else found[0], template):
        return ""
    known = ", ".join(f"{{{{{each}}}}}" for each in PLACEHOLDERS)
    return f"{template[:QUOTED]!r} holds something else in double braces than {known}"


def compute(version: Version, *, counter: int, branch: str, revision: str) -> BuildVersion:
    """Return the version of a build."""
    values = {"auto": str(counter), "branch": branch, "revision": revision}
    if version.custom is not None:
        return BuildVersion(version=_render(version.custom.label_template, values), counter=counter)
    semver = version.semver or Semver()
    patch = _render(semver.patch, values)
    label = _label(semver.label_template, values)
    number = f"{semver.major}.{semver.minor}.{patch}"
    full = number if not label or is_release_branch(semver.release_branch, branch) else f"{number}-{label}"
    return BuildVersion(version=full, major=semver.major, minor=semver.minor, patch=patch, label=label, counter=counter)


def _render(template: str, values: dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def _label(template: str, values: dict[str, str]) -> str:
    rendered = _render(template, values)
    if rendered[:1].isdigit():
        first = PLACEHOLDER.search(template)
        rendered = f"{first[1] if first else 'label'}-{rendered}"
    return sanitise(rendered)


def sanitise(text: str) -> str:
    """Return the text as the pre-release part of a version: a DNS label, without digits in front."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return label.lstrip("0123456789-")[:LONGEST_LABEL].rstrip("-")


def is_release_branch(patterns: Iterable[str], branch: str) -> bool:
    """Each pattern stands for itself or is a regular expression for the whole name (RE2); a broken one matches none."""
    options = re2.Options()
    options.log_errors = False
    for wanted in patterns:
        try:
            if re2.compile(wanted.strip(), options).fullmatch(branch):
                return True
        except re2.error:
            continue
    return False
