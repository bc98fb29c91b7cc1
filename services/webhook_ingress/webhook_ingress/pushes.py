"""GitHub's push payload in our words. Pure."""

import msgspec
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.message import Encoded
from estafette_common.bus.subjects import GIT_PUSH

SOURCE = "github.com"

MOST_COMMITS = 20
"""Newest commits of a push that are kept; a push may carry thousands."""


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a payload: the last for one that is nested too deeply."""


class NotAPushError(ValueError):
    """The payload is not what GitHub documents for `push`."""


class _Owner(msgspec.Struct):
    login: str | None = None
    name: str | None = None


class _Repository(msgspec.Struct):
    name: str
    owner: _Owner


class _Person(msgspec.Struct, omit_defaults=True):
    """GitHub leaves parts out or sends null; both come out as left out."""

    name: str | None = None
    email: str | None = None
    username: str | None = None


class _Commit(msgspec.Struct):
    message: str
    author: _Person


class _Installation(msgspec.Struct):
    id: int


class Push(msgspec.Struct):
    """The parts of https://docs.github.com/webhooks/webhook-events-and-payloads#push that matter here.

    msgspec skips the rest of the payload four times as fast as pydantic.
    """

    ref: str
    after: str
    repository: _Repository
    deleted: bool = False
    commits: list[msgspec.Raw] = []
    pusher: _Person | None = None
    installation: _Installation | None = None

    @property
    def owner(self) -> str:
        """Who owns the repository: GitHub gives old accounts one name, newer ones the other."""
        return self.repository.owner.login or self.repository.owner.name or ""


_PUSH = msgspec.json.Decoder(Push)
_COMMIT = msgspec.json.Decoder(_Commit)
_ENCODER = msgspec.json.Encoder()


def read(payload: bytes) -> Push:
    """Return GitHub's push; NotAPushError names the field that is missing or of the wrong type."""
    try:
        push = _PUSH.decode(payload)
    except UNREADABLE as error:
        raise NotAPushError(f"not a push payload: {error}") from None
    if not (push.owner and push.repository.name and push.after):
        raise NotAPushError("not a push payload: owner, repository name or revision is empty")
    return push


def translate(payload: bytes) -> Encoded:
    """Return what was pushed, a `GitPushed`; NotAPushError as `read`, and for what the newest commits lack."""
    push = read(payload)
    try:
        commits = [_COMMIT.decode(commit) for commit in push.commits[-MOST_COMMITS:]]
    except UNREADABLE as error:
        raise NotAPushError(f"not a push payload: a commit of it: {error}") from None
    pushed = {
        "repository": {"source": SOURCE, "owner": push.owner, "name": push.repository.name},
        "ref": push.ref,
        "revision": push.after,
        "deleted": push.deleted,
        "commits": commits,
        "pushed_by": (push.pusher.email or push.pusher.name or "") if push.pusher else "",
        "installation": push.installation.id if push.installation else None,
    }
    return Encoded(message=GitPushed, subject=GIT_PUSH, body=_ENCODER.encode(pushed))
