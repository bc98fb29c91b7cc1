"""What a forge tells of a whole repository: moved, archived or not any more. Pure.

GitHub: https://docs.github.com/webhooks/webhook-events-and-payloads#repository. Bitbucket:
https://support.atlassian.com/bitbucket-cloud/docs/event-payloads.
"""

from dataclasses import dataclass

import msgspec
from estafette_common.jobs.plan import Repository

GITHUB, BITBUCKET = "github.com", "bitbucket.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A repository has another name or owner."""

    old: Repository
    new: Repository
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """A repository takes no pushes any more; or does again."""

    place: Repository
    archived: bool
    reason: str


Change = Moved | Archived


class _Owner(msgspec.Struct):
    login: str


class _Repository(msgspec.Struct):
    name: str
    owner: _Owner


class _OldName(msgspec.Struct):
    name: dict[str, str] = {}


class _OldOwner(msgspec.Struct):
    user: _Owner | None = None
    organization: _Owner | None = None


class _FromOwner(msgspec.Struct):
    from_: _OldOwner = msgspec.field(name="from")


class _Changes(msgspec.Struct):
    repository: _OldName | None = None
    owner: _FromOwner | None = None


class _GithubEvent(msgspec.Struct):
    action: str
    repository: _Repository
    changes: _Changes | None = None


class _FullName(msgspec.Struct):
    full_name: str


class _Renamed(msgspec.Struct):
    old: str


class _BitbucketChanges(msgspec.Struct):
    full_name: _Renamed | None = None


class _BitbucketEvent(msgspec.Struct):
    repository: _FullName
    changes: _BitbucketChanges | None = None


_GITHUB = msgspec.json.Decoder(_GithubEvent)
_BITBUCKET = msgspec.json.Decoder(_BitbucketEvent)


def of_github(payload: bytes) -> Change | None:
    """Return what a `repository` event changes, or nothing. A payload that is not understood changes nothing."""
    try:
        told = _GITHUB.decode(payload)
    except msgspec.MsgspecError:
        return None
    place = Repository(source=GITHUB, owner=told.repository.owner.login, name=told.repository.name)
    match told.action:
        case "renamed" | "transferred":
            old = _before(told.changes or _Changes(), place)
            return _moved(old, place, told.action) if old != place else None
        case "archived" | "deleted":
            return Archived(place=place, archived=True, reason=f"GitHub {told.action} the repository")
        case "unarchived" | "created":
            return Archived(place=place, archived=False, reason=f"GitHub {told.action} the repository")
    return None


def of_bitbucket(kind: str, payload: str) -> Change | None:
    """Return what `repo:updated` or `repo:deleted` changes, or nothing."""
    try:
        told = _BITBUCKET.decode(payload)
    except msgspec.MsgspecError:
        return None
    place = _bitbucket(told.repository.full_name)
    if place is None:
        return None
    if kind == "repo:deleted":
        return Archived(place=place, archived=True, reason="Bitbucket deleted the repository")
    old = _bitbucket(told.changes.full_name.old) if told.changes and told.changes.full_name else None
    return _moved(old, place, "renamed") if kind == "repo:updated" and old and old != place else None


def _before(changes: _Changes, place: Repository) -> Repository:
    """Return where a repository of GitHub was before."""
    name = changes.repository.name.get("from") if changes.repository else None
    old = changes.owner.from_ if changes.owner else _OldOwner()
    owner = old.organization or old.user
    return place.model_copy(update={"name": name or place.name, "owner": owner.login if owner else place.owner})


def _moved(old: Repository, new: Repository, how: str) -> Moved:
    return Moved(old=old, new=new, reason=f"{old.pipeline} was {how}; it is {new.pipeline} now")


def _bitbucket(full_name: str) -> Repository | None:
    owner, _, name = full_name.partition("/")
    return Repository(source=BITBUCKET, owner=owner, name=name) if owner and name else None
