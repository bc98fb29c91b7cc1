"""What people and forges do with the system: commit, push, send webhooks, read builds, watch logs."""

import asyncio
import copy
import hashlib
import hmac
import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

WEBHOOK_PATH = "/api/integrations/github/events"


class GitRepository:
    """A bare repository on disk, `<root>/<owner>/<name>.git`, that is committed to without a work tree."""

    def __init__(self, root: Path, owner: str, name: str) -> None:
        self.owner = owner
        self.name = name
        self.path = root / owner / f"{name}.git"
        if not self.path.exists():
            self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self.path), where=root)

    @property
    def full_name(self) -> str:
        """`acme/shop`"""
        return f"{self.owner}/{self.name}"

    def commit(self, files: Mapping[str, str], *, message: str = "Change", branch: str = "main") -> str:
        """Replace the branch's files by these in a new commit; returns its revision."""
        tree = self._tree(files)
        parent = self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", check=False)
        author = ["-c", "user.name=Robin", "-c", "user.email=robin@example.com"]
        parents = ["-p", parent] if parent else []
        revision = self._git(*author, "commit-tree", tree, *parents, "-m", message)
        self._git("update-ref", f"refs/heads/{branch}", revision)
        return revision

    def _tree(self, files: Mapping[str, str]) -> str:
        folders: dict[str, dict[str, str]] = {}
        entries = []
        for path, text in files.items():
            folder, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(folder, {})[rest] = text
            else:
                entries.append(f"100644 blob {self._git('hash-object', '-w', '--stdin', given=text)}\t{path}")
        entries += [f"040000 tree {self._tree(inner)}\t{folder}" for folder, inner in folders.items()]
        return self._git("mktree", given="\n".join(entries) + "\n")

    def _git(self, *arguments: str, where: Path | None = None, given: str = "", check: bool = True) -> str:
        where = where or self.path
        where.mkdir(parents=True, exist_ok=True)
        command = ["git", "-C", str(where), *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=check).stdout.strip()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as GitHub sends it."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def id(self) -> str:
        """GitHub's id of the delivery; a repeat has the same."""
        return self.headers["X-GitHub-Delivery"]


def push_delivery(
    sample: Mapping[str, Any],
    repository: GitRepository,
    *,
    revision: str,
    secret: str,
    branch: str = "main",
    message: str = "Change",
    delivery: str | None = None,
) -> Delivery:
    """Return GitHub's sample of a push, told of this revision and signed with the secret."""
    payload = copy.deepcopy(dict(sample))
    payload |= {"ref": f"refs/heads/{branch}", "after": revision, "deleted": False}
    payload["repository"] |= {
        "name": repository.name,
        "full_name": repository.full_name,
        "owner": payload["repository"]["owner"] | {"login": repository.owner, "name": repository.owner},
    }
    person = {"name": "Robin", "email": "robin@example.com", "username": "robin"}
    payload["pusher"] = person
    payload["commits"] = [{"id": revision, "message": message, "author": person, "committer": person}]
    payload["head_commit"] = payload["commits"][0]
    return signed(json.dumps(payload).encode(), event="push", secret=secret, delivery=delivery)


def signed(body: bytes, *, event: str, secret: str, delivery: str | None = None) -> Delivery:
    """Return the body as GitHub would deliver it."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return Delivery(
        body,
        {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/sample",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery or str(uuid4()),
            "X-Hub-Signature-256": f"sha256={signature}",
        },
    )


@dataclass(frozen=True, slots=True)
class Told:
    """One server-sent event."""

    id: str
    event: str
    data: Any


class Person:
    """Somebody with an HTTP client."""

    def __init__(self, session: aiohttp.ClientSession, *, ingress: str, api: str) -> None:
        self._session = session
        self._ingress = ingress
        self._api = api

    async def deliver(self, delivery: Delivery, *, ingress: str = "") -> int:
        """Send a webhook; returns the status of the answer."""
        url = (ingress or self._ingress) + WEBHOOK_PATH
        async with self._session.post(url, data=delivery.body, headers=delivery.headers) as response:
            await response.read()
            return response.status

    async def get(self, path: str) -> Any:
        """Return the JSON of a path below the API; aiohttp.ClientResponseError when it is refused."""
        async with self._session.get(self._api + path) as response:
            response.raise_for_status()
            return await response.json()

    async def builds(self, repository: GitRepository) -> list[dict[str, Any]]:
        """Return the builds of a repository, newest first; none when it is not known."""
        try:
            answer = await self.get(f"/api/pipelines/github.com/{repository.full_name}/builds")
        except aiohttp.ClientResponseError as error:
            if error.status == 404:
                return []
            raise
        found: list[dict[str, Any]] = answer["items"]
        return found

    async def watch(self, build: Mapping[str, Any], *, last_id: str = "") -> AsyncIterator[Told]:
        """Give the events of a build's live log until it is closed; comes back by itself as a browser does."""
        path = f"{build_path(build)}/logs.stream"
        while True:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            try:
                async with self._session.get(self._api + path, headers=headers, timeout=NO_TIMEOUT) as response:
                    response.raise_for_status()
                    async for told in _events(response):
                        last_id = told.id or last_id
                        if told.event == "close":
                            return
                        yield told
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, aiohttp.ClientResponseError):
                pass
            await asyncio.sleep(RECONNECT_AFTER)


NO_TIMEOUT = aiohttp.ClientTimeout(total=None)

RECONNECT_AFTER = 0.02
"""Seconds; a browser takes longer, but this one waits for builds that are not there yet."""


def build_path(build: Mapping[str, Any]) -> str:
    """Return the path of a build below the API."""
    return f"/api/pipelines/{build['repoSource']}/{build['repoOwner']}/{build['repoName']}/builds/{build['id']}"


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Told]:
    """Split a text/event-stream (WHATWG HTML, server-sent events) into its events."""
    fields: dict[str, str] = {}
    buffer = b""
    async for data in response.content.iter_any():
        *lines, buffer = (buffer + data).split(b"\n")
        for raw in lines:
            line = raw.decode().removesuffix("\r")
            if line:
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                fields[name] = f"{fields[name]}\n{value}" if name == "data" and "data" in fields else value
            elif "data" in fields:
                yield Told(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
                fields = {}
