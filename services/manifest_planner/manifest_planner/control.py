"""What an operator lets be built and released: lists of repositories, and of branches for clusters. Pure.

`buildControl` in the reference's configuration. What is blocked is looked at first; where a list of what is allowed has
entries, all else is blocked.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.model import Release, Stage
from estafette_common.triggers import patterns

CREDENTIALS, PREFIX = "credentials", "gke-"
"""The property of a stage that names a cluster, and what stands before its name."""

ANY = "*"


class ControlError(Exception):
    """The section cannot be used; the message says why."""


class Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is allowed and what is not."""

    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()


class _OfBitbucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    projects: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()


class _Bitbucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    allowed: _OfBitbucket = _OfBitbucket()
    blocked: _OfBitbucket = _OfBitbucket()


class _Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    repositories: dict[str, Lists] = {}
    restricted_clusters: tuple[str, ...] = ()


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be built, and what may be released from where to where."""

    github: Lists = Lists()
    bitbucket: _Bitbucket = _Bitbucket()
    release: _Release = _Release()


EVERYTHING = Control()


def read(tree: Any) -> Control:
    """Return what a section says; ControlError says what is wrong with it."""
    try:
        control = msgspec.convert(tree or {}, Control)
        for pattern in _patterns(control):
            patterns.compile(pattern.strip())
    except (msgspec.ValidationError, patterns.PatternError) as error:
        raise ControlError(str(error)) from None
    if control.bitbucket.allowed.projects or control.bitbucket.blocked.projects:
        raise ControlError("projects of Bitbucket are not told with its events; list repos")
    return control


def why_not_built(control: Control, repository: Repository) -> str:
    """Return why nothing of a repository is built; empty when it may be."""
    bitbucket = Lists(control.bitbucket.allowed.repos, control.bitbucket.blocked.repos)
    lists = {"github.com": control.github, "bitbucket.org": bitbucket}.get(repository.source.lower(), Lists())
    names = set(_names(repository))
    if names.intersection(map(str.lower, lists.blocked)):
        return f"{repository.pipeline} is blocked by the server's configuration"
    if lists.allowed and not names.intersection(map(str.lower, lists.allowed)):
        return f"{repository.pipeline} is not allowed by the server's configuration"
    return ""


def why_not_released(control: Control, repository: Repository, branch: str, release: Release) -> str:
    """Return why a build of a branch is not released; empty when it may be.

    Only releases to restricted clusters are looked at: by the lists of the repository, or else by those of all.
    """
    cluster = next((each for each in _clusters(release) if _matches(control.release.restricted_clusters, each)), None)
    if cluster is None:
        return ""
    of = {name.lower(): lists for name, lists in control.release.repositories.items()}
    own = (repository.pipeline.lower(), *_names(repository), ANY)
    lists = next((of[name] for name in own if name in of), Lists())
    if _matches(lists.blocked, branch):
        return f"branch {branch} of {repository.pipeline} is blocked from {cluster}"
    if lists.allowed and not _matches(lists.allowed, branch):
        return f"branch {branch} of {repository.pipeline} is not allowed to be released to {cluster}"
    return ""


def _names(repository: Repository) -> tuple[str, str]:
    """Return what a repository may be called, the closer name first; forges take any case for the same."""
    return f"{repository.owner}/{repository.name}".lower(), repository.name.lower()


def _clusters(release: Release) -> list[str]:
    """Return the clusters that a release may reach: that of its target's name, and those that its stages name."""
    return [release.name, *(name for stage in release.stages for name in _clusters_of(stage))]


def _clusters_of(stage: Stage) -> Iterable[str]:
    named = stage.custom.get(CREDENTIALS)
    if isinstance(named, str):
        yield named.removeprefix(PREFIX)
    for each in stage.parallel_stages:
        yield from _clusters_of(each)


def _matches(wanted: Iterable[str], name: str) -> bool:
    return any(patterns.whole(pattern, name) for pattern in wanted)


def _patterns(control: Control) -> Iterable[str]:
    yield from control.release.restricted_clusters
    for lists in control.release.repositories.values():
        yield from (*lists.allowed, *lists.blocked)
