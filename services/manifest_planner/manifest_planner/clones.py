"""The git program, and a folder of bare clones, one per repository: a cache, which may be lost at any time."""

import asyncio
import base64
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

from estafette_common.bus.delivery import TemporaryError
from estafette_common.bus.subjects import token as safe_name

from manifest_planner.packs import entries

ANSWERS_WITHIN = 60.0
"""Seconds for one call of git."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository on a server, and the token to read it with; empty: none."""

    url: str
    token: str = ""


class Clones:
    """Reads files by fetching just the revision that they are of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def file(self, remote: Remote, place: str, revision: str, name: str, *, ref: str) -> str | None:
        """Return a file of a revision, or nothing when there is none. Raises TemporaryError when git cannot say.

        `place` names the repository's clone; `ref` leads to the revision where servers give no others.
        """
        clone, environment = self._folder / safe_name(place), _environment(remote.token)
        if not (clone / "HEAD").exists():
            clone.mkdir(parents=True, exist_ok=True)
            await _git(["init", "--quiet", "--bare", "--template=", "."], clone, environment)
        else:
            with suppress(OSError):  # another replica may be removing it
                os.utime(clone)
        found = await _look(clone, environment, revision, name)
        if not found.revision:
            await self._fetch(remote.url, revision, ref, clone, environment)
            found = await _look(clone, environment, revision, name)
        if not found.revision:
            raise TemporaryError(f"git: {revision} is not among what was fetched")
        return found.file

    async def head(self, remote: Remote, branch: str) -> str | None:
        """Return the revision that a branch points to, or nothing. Raises TemporaryError when git cannot say."""
        self._folder.mkdir(parents=True, exist_ok=True)
        ref = f"refs/heads/{branch}"
        listed = await _git(["ls-remote", "--", remote.url, ref], self._folder, _environment(remote.token))
        lines = [line.split("\t") for line in (listed or b"").decode(errors="replace").splitlines()]
        return next((revision for revision, name in lines if name == ref), None)

    async def _fetch(self, url: str, revision: str, ref: str, clone: Path, environment: dict[str, str]) -> None:
        fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]
        exactly = [*fetch, "--depth=1", "--", url, revision]
        if await _git(exactly, clone, environment, may_fail=True) is None:  # old servers give only tips of branches
            await _git([*fetch, "--", url, ref], clone, environment)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a clone has."""

    revision: bool
    """Whether it can be told what is in the revision."""
    file: str | None = None


async def _look(clone: Path, environment: dict[str, str], revision: str, name: str) -> _Found:
    """Look for a revision in a clone, and for a file of it, with one process.

    While another process fetches the revision, its commit is there before its files are. So that the file is missing
    means nothing unless the directory is there, and names none.
    """
    asked = f"{revision}^{{commit}}\n{revision}^{{tree}}\n{revision}:{name}\n"
    answer = await _git(["cat-file", "--batch"], clone, environment, given=asked) or b""
    commit, _, rest = _first(answer)
    directory, tree, rest = _first(rest)
    kind, content, _ = _first(rest)
    if kind == "blob":
        return _Found(revision=commit == "commit", file=content.decode(errors="replace"))
    named = {called.decode(errors="replace") for _, called, _ in entries(tree)}
    return _Found(revision=directory == "tree" and (kind == "tree" or name not in named))


def _first(answer: bytes) -> tuple[str, bytes, bytes]:
    """Return kind and content of the first object that git told, and what follows; no kind: it is missing."""
    line, _, rest = answer.partition(b"\n")
    fields = line.split()
    if len(fields) != 3 or not fields[2].isdigit():
        return "", b"", rest
    size = int(fields[2])
    return fields[1].decode(), rest[:size], rest[size + 1 :]


def _environment(token: str) -> dict[str, str]:
    """Return git's environment: no prompts, and the token where no process list shows it."""
    settings = {"safe.directory": "*", "gc.auto": "0"}
    if token:
        credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        settings["http.extraHeader"] = f"Authorization: Basic {credentials}"
    environment = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_COUNT": str(len(settings))}
    for place, (name, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{place}": name, f"GIT_CONFIG_VALUE_{place}": value}
    return environment | {"PATH": os.defpath}


async def _git(
    arguments: list[str], where: Path, environment: dict[str, str], *, given: str = "", may_fail: bool = False
) -> bytes | None:
    """Return what git prints; nothing when it fails and may; else TemporaryError."""
    try:
        process = _started(arguments, where, environment)
    except FileNotFoundError as error:  # the clone was removed meanwhile, or there is no git
        raise TemporaryError(f"git {arguments[0]}: {error}") from error
    try:
        output, errors = await asyncio.to_thread(process.communicate, given.encode(), ANSWERS_WITHIN)
    except subprocess.TimeoutExpired:
        raise TemporaryError(f"git {arguments[0]} took longer than {ANSWERS_WITHIN} s") from None
    finally:
        process.kill()  # nothing happens to one that has ended
    if process.returncode == 0:
        return output
    if may_fail:
        return None
    reason = errors.decode(errors="replace").strip().splitlines()
    raise TemporaryError(f"git {arguments[0]}: {reason[-1] if reason else process.returncode}")


def _started(arguments: list[str], where: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start git. uvloop's way to do so copies all of this process first."""
    return subprocess.Popen(["git", *arguments], cwd=where, env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE)
