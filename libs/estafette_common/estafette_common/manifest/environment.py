"""The variables of a stage: what the job is about, the manifest's own, and secrets opened last."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedStage

OURS = "ESTAFETTE_"

REFERENCE = re.compile(r"\$(?:\$|\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
"""`$NAME` or `${NAME}`; everything else with a `$` is the shell's business."""

LONGEST_LABEL = 63
"""Characters of a DNS label (RFC 1035)."""

EVENT_FIELDS = {
    "pipeline": ("buildVersion", "repoSource", "repoOwner", "repoName", "repoBranch", "status", "event"),
    "release": ("releaseVersion", "repoSource", "repoOwner", "repoName", "target", "status", "event"),
    "git": ("event", "repository", "branch"),
    "docker": ("event", "image", "tag"),
    "cron": ("time",),
    "pubsub": ("project", "topic", "message"),
    "github": ("event", "repository", "delivery", "payload"),
    "bitbucket": ("event", "repository", "hookUUID", "requestUUID", "attemptNumber", "payload"),
    "manual": ("userID",),
}
"""Kinds of events and their fields, as the reference's API has them."""

EVENT_NAMES = {"pubsub": "PUB_SUB", "repoBranch": "BRANCH"}
"""Kinds and fields whose variables are called otherwise."""


NO_UPPER = re.compile(r"[^A-Z0-9]+")
NO_LOWER = re.compile(r"[^a-z0-9]+")

WORD = re.compile(r"(?<=.)([A-Z])(?=[a-z])")
HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
"""Where a name in camel case is split: before a capital that begins a word, then before one that ends a small one."""


def upper_snake(name: str) -> str:
    """Return the name as part of a variable: `HTTPServer` → `HTTP_SERVER`, `userID` → `USER_ID`."""
    return NO_UPPER.sub("_", _split(name).upper())


def lower_snake(name: str) -> str:
    """Return the name as part of a file name: `kubernetes-engine` → `kubernetes_engine`."""
    return NO_LOWER.sub("_", _split(name).lower())


def _split(name: str) -> str:
    return HUMP.sub(r"_\1", WORD.sub(r"_\1", name))


def dns_safe(text: str) -> str:
    """Return a text as a DNS label: lower case letters, digits and single hyphens, at most 63; may be empty."""
    label = NO_LOWER.sub("-", text.lower()).strip("-").lstrip("0123456789-")
    return label[:LONGEST_LABEL].strip("-")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return the text with each ESTAFETTE_ reference replaced, by nothing when it is unknown.

    Other references stay for the shell, in braces.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name is None:  # `$$` is the shell's own, and what follows it no name
            return found[0]
        return variables.get(name, "") if name.startswith(OURS) else f"${{{name}}}"

    return REFERENCE.sub(value, text)


def in_texts(tree: Any, change: Callable[[str], str]) -> Any:
    """Return a tree of JSON with each text in it changed; names of properties stay."""
    match tree:
        case str():
            return change(tree)
        case dict():
            return {name: in_texts(value, change) for name, value in tree.items()}
        case list() | tuple():
            return [in_texts(item, change) for item in tree]
        case _:
            return tree


def label_variables(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of labels."""
    return {f"{OURS}LABEL_{upper_snake(name)}": value for name, value in labels.items()}


def event_variables(events: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the variables of events: of those that fired by their kind, and of named ones by their name."""
    variables: dict[str, str] = {}
    for event in events:
        for kind, names in EVENT_FIELDS.items():
            if (body := event.get(kind)) is None:
                continue
            told = {EVENT_NAMES.get(each, upper_snake(each)): _as_text(body.get(each, "")) for each in names}
            prefixes = [EVENT_NAMES.get(kind, kind.upper())] if event.get("fired") else []
            prefixes += [upper_snake(event["name"])] if event.get("name") else []
            for prefix in prefixes:
                variables |= {f"{OURS}TRIGGER_{prefix}_{field}": value for field, value in told.items()}
    return variables


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
        "ESTAFETTE_BUILD_MAX_COUNTER": str(version.max_counter),
        "ESTAFETTE_BUILD_MAX_COUNTER_CURRENT_BRANCH": str(version.max_counter_current_branch),
        "ESTAFETTE_BUILD_DATETIME": started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ESTAFETTE_BUILD_STATUS": status,
        "ESTAFETTE_CI_SERVER_BASE_URL": plan.server_url,
    }
    for part in ("major", "minor", "patch", "label"):
        if (value := getattr(version, part)) is not None:
            variables[f"ESTAFETTE_BUILD_VERSION_{part.upper()}"] = str(value)
    return variables | _of_kind(plan) | event_variables(plan.events) | label_variables(plan.labels)


def _of_kind(plan: Plan) -> dict[str, str]:
    match plan.kind:
        case Kind.BUILD:
            return {"ESTAFETTE_BUILD_ID": plan.job_id}
        case Kind.RELEASE:
            users = [event["manual"].get("userID", "") for event in plan.events if event.get("manual")]
            return {
                "ESTAFETTE_RELEASE_NAME": plan.target,
                "ESTAFETTE_RELEASE_ACTION": plan.action,
                "ESTAFETTE_RELEASE_ID": plan.job_id,
                "ESTAFETTE_RELEASE_TRIGGERED_BY": users[0] if users else "",
            }
        case Kind.BOT:
            return {"ESTAFETTE_BOT_NAME": plan.target, "ESTAFETTE_BOT_ID": plan.job_id}


def stage_variables(
    plan: Plan,
    stage: PlannedStage,
    *,
    status: str,
    started_at: datetime,
    open_secrets: Callable[[str], str],
) -> dict[str, str]:
    """Return all variables of a stage but those of its properties; see `container_variables`."""
    own = {"ESTAFETTE_STAGE_NAME": stage.name, **stage.env}
    return container_variables(plan, own, status=status, started_at=started_at, open_secrets=open_secrets)


def container_variables(
    plan: Plan,
    own: Mapping[str, str],
    *,
    status: str,
    started_at: datetime,
    open_secrets: Callable[[str], str],
) -> dict[str, str]:
    """Return all variables of a container: of the job, then the manifest's `env`, then its own, later ones winning.

    Secrets are opened after references are replaced, so that a `$` in a secret stays what it is.
    """
    variables = job_variables(plan, status=status, started_at=started_at)
    given = {name: open_secrets(expand(value, variables)) for name, value in {**plan.env, **own}.items()}
    return variables | given


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else compact_json(value).strip('"')


def compact_json(value: Any) -> str:
    """Return compact JSON with sorted keys, and what HTML would take for its own escaped, as Go writes it."""
    written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
