"""What a release or a bot runs: the version, the target and its action, the plan. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan
from estafette_common.jobs.stages import planned
from estafette_common.manifest.model import Bot, Manifest, Release

from manifest_planner.planning import BuildRow, Ignored, Server, clone_url, version_of

LATEST, SAME, CURRENT = "latest", "same", "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a pipeline when a version is chosen; a version is empty where there is none."""

    latest: str
    """Of the newest build that succeeded."""
    current: str
    """What was released last to the target with the same action."""


def version(choice: str, event: Mapping[str, Any], known: Known) -> str | Ignored:
    """Return the version that a release action means, or why there is none.

    `latest` is also what an empty text means; `same` is the version of the build or release that fired; `current` is
    what is live; everything else is a version.
    """
    match choice:
        case "" | "latest":
            return known.latest or Ignored("no build of the pipeline has succeeded, so there is no latest version")
        case "same":
            told = (event.get("pipeline") or {}).get("buildVersion") or (event.get("release") or {}).get(
                "releaseVersion"
            )
            return told or Ignored("version same: what fired has no version; only builds and releases have")
        case "current":
            return known.current or Ignored("version current: nothing was released to the target with this action")
    return choice


def target(manifest: Manifest, name: str, action: str, *, by_hand: bool = False) -> Release | Ignored:
    """Return the target of a release, or why a build cannot be released so.

    By hand, a target with actions takes one of them and another none. A trigger may leave the action out.
    """
    release = next((each for each in manifest.releases if each.name == name), None)
    if release is None:
        known = ", ".join(each.name for each in manifest.releases) or "none"
        return Ignored(f"the manifest of the build has no release target {name!r}; it has {known}")
    actions = [each.name for each in release.actions]
    if action and action not in actions:
        return Ignored(f"the target {name} has no action {action!r}; it has {', '.join(actions) or 'none'}")
    if by_hand and actions and not action:
        return Ignored(f"the target {name} takes one of the actions {', '.join(actions)}")
    return release


def bot(manifest: Manifest, name: str) -> Bot | Ignored:
    """Return a bot, or why there is none to run."""
    found = next((each for each in manifest.bots if each.name == name), None)
    if found is None:
        return Ignored(f"the manifest of the build has no bot {name!r}")
    return found


def plan(
    job: "Job",
    build: BuildRow,
    manifest: Manifest,
    *,
    server: Server,
    clone_token: str,
    remembered: tuple[dict[str, Any], ...] = (),
) -> Plan:
    """Return what the builder of a release or bot shall do, with the version, branch and revision of a build."""
    number = version_of(manifest, counter=build.counter, branch=build.branch, revision=build.revision)
    return Plan(
        kind=job.kind,
        job_id=job.id,
        repository=build.repository,
        branch=build.branch,
        revision=build.revision,
        clone=job.runs.clone,
        clone_url=clone_url(server.clone_url, build.repository),
        clone_token=clone_token,
        version=number.model_copy(update={"version": build.version}),
        labels=manifest.labels,
        env=manifest.env,
        stages=planned(job.runs.stages, most_retries=server.most_retries),
        target=job.runs.name,
        action=job.action,
        events=(*job.events, *remembered),
        server_url=server.url,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A release or bot that has an id, and what of the manifest it runs."""

    kind: Kind
    id: str
    runs: Release | Bot
    action: str = ""
    events: tuple[dict[str, Any], ...]
