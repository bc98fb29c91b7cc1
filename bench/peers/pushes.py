"""The push that every peer gets, and what takes it."""

import hashlib
import hmac
import json
from typing import Protocol
from uuid import uuid4

import aiohttp

SECRET = "bench"
SIZE = 25_000


class Peer(Protocol):
    """Something that takes webhooks."""

    async def hook(self, body: bytes) -> None:
        """Send a push and wait for the answer."""
        ...


class Builder(Peer, Protocol):
    """Something that builds what is pushed."""

    def payload(self, branch: str) -> bytes:
        """Return a push to a branch, of a repository of its own."""
        ...

    async def to_first_line(self) -> float:
        """Push, and return the seconds until a client was told of the step's output."""
        ...

    async def ended(self) -> int:
        """Return how many builds have ended."""
        ...


def payload(owner: str, name: str, branch: str, revision: str) -> bytes:
    """Return a push of 25 KB, as far as GitHub's as any of the three reads it."""
    person = {"name": "Robin", "email": "robin@example.com", "username": "robin"}
    url = f"https://github.com/{owner}/{name}"
    commit = {
        "id": revision, "message": "Sell more", "timestamp": "2026-11-20T12:00:00+01:00", "url": f"{url}/commit/4",
        "author": person, "committer": person, "added": [], "removed": [], "modified": ["README"], "distinct": True,
    }  # fmt: skip
    pushed = {
        "ref": f"refs/heads/{branch}", "before": "1" * 40, "after": revision, "created": False, "deleted": False,
        "repository": {"id": 1, "name": name, "full_name": f"{owner}/{name}", "html_url": url, "clone_url": url,
            "url": url, "owner": {"login": owner, "name": owner}},
        "pusher": person, "commits": [commit], "head_commit": commit, "compare": url, "padding": "",
    }  # fmt: skip
    pushed["padding"] = "x" * (SIZE - len(json.dumps(pushed)))
    return json.dumps(pushed).encode()


async def send(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    """Send a push as GitHub does; aiohttp.ClientResponseError when it is refused."""
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": str(uuid4())}
    for name, digest in (("X-Hub-Signature-256", hashlib.sha256), ("X-Hub-Signature", hashlib.sha1)):
        headers[name] = f"{digest().name}={hmac.new(SECRET.encode(), body, digest).hexdigest()}"
    async with session.post(url, data=body, headers=headers) as response:
        response.raise_for_status()
        await response.read()
