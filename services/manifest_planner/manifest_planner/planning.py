"""What a push amounts to. Pure: the push and the manifest in, a decision out."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from estafette_common.bus.messages.events import GitPushed
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, Repository, Version
from estafette_common.jobs.stages import planned
from estafette_common.manifest.disposal import planned_namespace
from estafette_common.manifest.findings import Finding
from estafette_common.manifest.model import Manifest
from estafette_common.manifest.reading import Checked
from estafette_common.manifest.versions import compute
from estafette_common.triggers import event_documents
from estafette_common.triggers.events import GitEvent, ManualEvent, TriggerEvent

MANIFEST = ".estafette.yaml"

ENDS_A_BUILD = ("when", "no-image", "service")
"""Warnings in stages with which a build could only fail."""

OF_A_BUILD = ("stages.", "pipelines.")

SKIPS = ("[skip ci]", "[ci skip]")
"""What the head commit's message says, in any case, where its author wants no build."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """There is no build, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused(Ignored):
    """There is no build or release, for the server's configuration lets there be none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a build is started by."""

    reason: str
    """For people: `push to main`"""
    events: tuple[dict[str, Any], ...] = ()
    """As stages are told of them."""
    hops: int = 0
    """How many triggers fired one after the other."""
    heard_at: datetime | None = None
    """When a forge told of it; nothing where people or triggers ask, who may use an old name."""
    repeats: "BuildRow | None" = None
    """The build that it is once more, under the same version."""
    resumes: bool = False
    """Whether it passes over what that build finished, as far as its stages are resumable."""


class BuildsFrom(StrEnum):
    """What a trigger builds of a branch."""

    HEAD = "head"
    """The newest revision, whose manifest is read."""
    LAST_BUILD = "last-build"
    """The revision and the manifest of the last build, as the reference does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a plan tells of the server that made it, and what that allows."""

    url: str
    """Where people find the page."""
    clone_url: str
    """Where repositories are cloned from, with the fields `source`, `owner` and `name`."""
    most_retries: int = 0
    """How often a stage may be tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """A build as it was stored: the same however often its cause is handled."""

    id: str
    source: str
    owner: str
    name: str
    branch: str
    revision: str
    counter: int
    version: str
    status: str
    installation: int | None
    manifest: str = ""
    outcome: str | None = None
    reason: str = ""
    attempt: int = 0
    dispatched: bool = False
    events: tuple[dict[str, Any], ...] = ()
    """What started it, as the reference's API has it."""
    hops: int = 0
    """How many triggers fired one after the other until there was this build."""
    concurrency_group: str = ""
    """Whose builds it may have to wait for; empty: it waits for none."""
    runtime: str = ""
    """What its job runs in; empty: none took it yet."""
    resumes: str = ""
    """The build whose workspace it goes on in; empty: it begins anew."""

    @property
    def repository(self) -> Repository:
        """Where it is built from."""
        return Repository(source=self.source, owner=self.owner, name=self.name)


def ignored_before_reading(push: GitPushed) -> Ignored | None:
    """Return why a push can be no build whatever its manifest says, or nothing."""
    if push.deleted or not push.revision.strip("0"):
        return Ignored(f"{push.ref} was deleted")
    if push.ref.startswith("refs/tags/"):
        return Ignored(f"{push.ref.removeprefix('refs/tags/')} is a tag; only branches are built")
    if push.branch is None:
        return Ignored(f"{push.ref} is no branch")
    head = push.commits[-1].message.lower() if push.commits else ""
    said = next((word for word in SKIPS if word in head), None)
    return Ignored(f"the message of the head commit says {said}") if said else None


def origin_of(push: GitPushed, *, heard_at: datetime) -> Origin:
    """Return what the build of a push is started by."""
    event = GitEvent(event="push", repository=push.repository.pipeline, branch=push.branch or "")
    return Origin(
        reason=f"push to {push.branch}", events=(event_documents.write(TriggerEvent(event)),), heard_at=heard_at
    )


def manual(by: str, reason: str) -> Origin:
    """Return the origin of a build that somebody asked for."""
    return Origin(reason=reason, events=(event_documents.write(TriggerEvent(ManualEvent(by))),))


def obstacles(checked: Checked) -> tuple[Finding, ...]:
    """Return what keeps a push from being built: errors, and what in its stages is only told when it is due."""
    if checked.manifest is None:
        return checked.errors
    return tuple(
        found for found in checked.findings if found.rule in ENDS_A_BUILD and found.path.startswith(OF_A_BUILD)
    )


def no_manifest(push: GitPushed) -> Ignored:
    """Return why a push without a manifest is no build."""
    return Ignored(f"there is no {MANIFEST} at {push.revision}")


def version_of(manifest: Manifest | None, *, counter: int, branch: str, revision: str) -> Version:
    """Return the version of a build; one whose manifest is not valid has just its counter."""
    if manifest is None:
        return Version(version=str(counter), counter=counter)
    return compute(manifest.version, counter=counter, branch=branch, revision=revision)


def clone_url(template: str, repository: Repository) -> str:
    """Return where a repository is cloned from."""
    return template.format(source=repository.source, owner=repository.owner, name=repository.name)


def plan(
    build: BuildRow,
    manifest: Manifest,
    *,
    server: Server,
    clone_token: str,
    remembered: tuple[dict[str, Any], ...] = (),
) -> Plan:
    """Return what the builder shall do. Secrets are still as the manifest has them.

    `remembered` is what named triggers know of builds and releases before.
    """
    repository = build.repository
    return Plan(
        kind=Kind.BUILD,
        job_id=build.id,
        repository=repository,
        branch=build.branch,
        revision=build.revision,
        clone_url=clone_url(server.clone_url, repository),
        clone_token=clone_token,
        version=version_of(manifest, counter=build.counter, branch=build.branch, revision=build.revision),
        labels=manifest.labels,
        env=manifest.env,
        stages=planned(manifest.stages, most_retries=server.most_retries),
        events=(*build.events, *remembered),
        server_url=server.url,
        resumes=build.resumes,
        run_namespace=planned_namespace(manifest.run_namespace),
    )
