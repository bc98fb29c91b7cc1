"""GitHub's push payload in our words. Pure."""

import msgspec
from estafette_common.bus.messages.events import Commit, GitPushed, Person
from estafette_common.jobs.plan import Repository

SOURCE = "github.com"

MOST_COMMITS = 20
"""Newest commits of a push that are kept; a push may carry thousands."""


class NotAPushError(ValueError):
    """The payload is not what GitHub documents for `push`."""


class _Owner(msgspec.Struct):
    login: str | None = None
    name: str | None = None


class _Repository(msgspec.Struct):
    name: str
    owner: _Owner


class _Person(msgspec.Struct):
    name: str | None = None
    email: str | None = None
    username: str | None = None


class _Commit(msgspec.Struct):
    message: str
    author: _Person


class _Installation(msgspec.Struct):
    id: int


class _Push(msgspec.Struct):
    """The parts of https://docs.github.com/webhooks/webhook-events-and-payloads#push that matter here."""

    ref: str
    after: str
    repository: _Repository
    deleted: bool = False
    commits: list[_Commit] = []
    pusher: _Person | None = None
    installation: _Installation | None = None


_DECODER = msgspec.json.Decoder(_Push)


def translate(payload: bytes) -> GitPushed:
    """Return what was pushed; NotAPushError names the field that is missing or of the wrong type."""
    try:
        push = _DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise NotAPushError(f"not a push payload: {error}") from None
    owner = push.repository.owner.login or push.repository.owner.name
    if not owner or not push.repository.name or not push.after:
        raise NotAPushError("not a push payload: owner, repository name or revision is empty")
    return GitPushed.model_construct(
        repository=Repository.model_construct(source=SOURCE, owner=owner, name=push.repository.name),
        ref=push.ref,
        revision=push.after,
        deleted=push.deleted,
        commits=tuple(_commit(commit) for commit in push.commits[-MOST_COMMITS:]),
        pushed_by=(push.pusher and push.pusher.email) or (push.pusher and push.pusher.name) or "",
        installation=push.installation.id if push.installation else None,
    )


def _commit(commit: _Commit) -> Commit:
    author = commit.author
    person = Person.model_construct(name=author.name or "", email=author.email or "", username=author.username or "")
    return Commit.model_construct(message=commit.message, author=person)
