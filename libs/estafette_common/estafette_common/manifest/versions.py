"""The version of a build, from what the manifest says and the build's counter, branch and revision."""

import re

import re2

from estafette_common.jobs.plan import Version
from estafette_common.manifest.model import Custom, Semver

PLACEHOLDER = re.compile(r"\{\{\s*(\w*)\s*\}\}")
PLACEHOLDERS = ("auto", "branch", "revision")
LONGEST_LABEL = 63


def unknown_placeholder(template: str) -> str | None:
    """Return the first placeholder that means nothing, or nothing when all do."""
    for name in PLACEHOLDER.findall(template):
        if name not in PLACEHOLDERS:
            return str(name)
    return None


def compute(version: Semver | Custom, *, counter: int, branch: str, revision: str) -> Version:
    """Return the version of a build."""
    values = {"auto": str(counter), "branch": branch, "revision": revision}
    if isinstance(version, Custom):
        return Version(version=_render(version.label_template, values), counter=counter)
    patch = _render(version.patch, values)
    label = _label(version.label_template, values)
    number = f"{version.major}.{version.minor}.{patch}"
    full = number if not label or _is_release_branch(version, branch) else f"{number}-{label}"
    return Version(version=full, major=version.major, minor=version.minor, patch=patch, label=label, counter=counter)


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


def _is_release_branch(version: Semver, branch: str) -> bool:
    """Each pattern stands for itself or is a regular expression for the whole name (RE2); a broken one matches none."""
    options = re2.Options()
    options.log_errors = False
    for wanted in version.release_branch:
        try:
            if re2.compile(wanted.strip(), options).fullmatch(branch):
                return True
        except re2.error:
            continue
    return False
