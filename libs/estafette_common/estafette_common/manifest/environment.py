"""The variables of a stage: what the job is about, the manifest's own, and secrets opened last."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedStage

REFERENCE = re.compile(r"\$(?:\{(ESTAFETTE_[A-Za-z0-9_]*)\}|(ESTAFETTE_[A-Za-z0-9_]*))")
"""`$ESTAFETTE_X` or `${ESTAFETTE_X}`; everything else with a `$` is the shell's business."""

LONGEST_LABEL = 63
"""Characters of a DNS label (RFC 1035)."""


def upper_snake(name: str) -> str:
    """Return the name as part of a variable: `HTTPServer` → `HTTP_SERVER`, `userID` → `USER_ID`."""
    split = re.sub(r"(?<=.)([A-Z])(?=[a-z])", r"_\1", name)
    split = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", split)
    return re.sub(r"[^A-Z0-9]+", "_", split.upper())


def dns_safe(text: str) -> str:
    """Return a text as a DNS label: lower case letters, digits and single hyphens, at most 63; may be empty."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-").lstrip("0123456789-")
    return label[:LONGEST_LABEL].strip("-")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return the text with each ESTAFETTE_ reference replaced, by nothing when it is unknown."""
    return REFERENCE.sub(lambda found: variables.get(found[1] or found[2], ""), text)


def job_variables(plan: Plan, *, status: str, started_at: datetime) -> dict[str, str]:
    """Return what every stage is told of its job; `status` is `succeeded` or `failed` so far."""
    repository, version = plan.repository, plan.version
    variables = {
        "ESTAFETTE_GIT_SOURCE": repository.source,
        "ESTAFETTE_GIT_OWNER": repository.owner,
        "ESTAFETTE_GIT_NAME": repository.name,
        "ESTAFETTE_GIT_FULLNAME": f"{repository.owner}/{repository.name}",
        "ESTAFETTE_GIT_BRANCH": plan.branch,
        "ESTAFETTE_GIT_BRANCH_DNS_SAFE": dns_safe(plan.branch),
        "ESTAFETTE_GIT_REVISION": plan.revision,
        "ESTAFETTE_BUILD_VERSION": version.version,
        "ESTAFETTE_BUILD_CURRENT_COUNTER": str(version.counter),
        "ESTAFETTE_BUILD_DATETIME": started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ESTAFETTE_BUILD_STATUS": status,
        "ESTAFETTE_CI_SERVER_BASE_URL": plan.server_url,
    }
    if plan.kind is Kind.BUILD:
        variables["ESTAFETTE_BUILD_ID"] = plan.job_id
    if version.major is not None:
        variables["ESTAFETTE_BUILD_VERSION_MAJOR"] = str(version.major)
    if version.minor is not None:
        variables["ESTAFETTE_BUILD_VERSION_MINOR"] = str(version.minor)
    if version.patch is not None:
        variables["ESTAFETTE_BUILD_VERSION_PATCH"] = version.patch
    if version.label is not None:
        variables["ESTAFETTE_BUILD_VERSION_LABEL"] = version.label
    for name, value in plan.labels.items():
        variables[f"ESTAFETTE_LABEL_{upper_snake(name)}"] = value
    return variables


def stage_variables(
    plan: Plan,
    stage: PlannedStage,
    *,
    status: str,
    started_at: datetime,
    open_secrets: Callable[[str], str],
) -> dict[str, str]:
    """Return all variables of a stage: of the job, then the manifest's `env`, then the stage's, later ones winning.

    Secrets are opened after references are replaced, so that a `$` in a secret stays what it is.
    """
    variables = job_variables(plan, status=status, started_at=started_at)
    own = {
        name: open_secrets(expand(value, variables))
        for name, value in {**plan.env, "ESTAFETTE_STAGE_NAME": stage.name, **stage.env}.items()
    }
    return variables | own
