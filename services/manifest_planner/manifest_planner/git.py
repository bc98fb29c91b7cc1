"""Manifests from any git server, with the git program and a bare clone per repository."""

import asyncio
import base64
import os
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from estafette_common.bus.delivery import TemporaryError
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.subjects import token as safe_name
from estafette_common.github.client import GithubClient
from estafette_common.jobs.plan import Repository

from manifest_planner.planning import MANIFEST, clone_url

ANSWERS_WITHIN = 60.0
"""Seconds for one call of git."""


class GitManifests:
    """Reads manifests by fetching just the pushed revision. The clones are a cache: they may be lost at any time."""

    def __init__(self, cache: Path, clone_url: str, github: GithubClient) -> None:
        self._cache = cache
        self._clone_url = clone_url
        self._github = github

    async def read(self, push: GitPushed) -> str | None:
        """Return the manifest at the pushed revision, or nothing. Raises TemporaryError when git cannot say."""
        repository = push.repository
        url, environment = await self._access(repository, push.installation)
        clone = self._cache / safe_name(repository.pipeline)
        if not (clone / "HEAD").exists():
            clone.mkdir(parents=True, exist_ok=True)
            await _git(["init", "--quiet", "--bare", "."], clone, environment)
        if await _git(["cat-file", "-e", f"{push.revision}^{{commit}}"], clone, environment, may_fail=True) is None:
            await self._fetch(push, url, clone, environment)
            await _git(["cat-file", "-e", f"{push.revision}^{{commit}}"], clone, environment)
        return await _git(["show", f"{push.revision}:{MANIFEST}"], clone, environment, may_fail=True)

    async def head(self, repository: Repository, branch: str, installation: int | None) -> str | None:
        """Return the revision that a branch points to, or nothing. Raises TemporaryError when git cannot say."""
        url, environment = await self._access(repository, installation)
        self._cache.mkdir(parents=True, exist_ok=True)
        listed = await _git(["ls-remote", "--", url, f"refs/heads/{branch}"], self._cache, environment)
        found = [line.split("\t") for line in (listed or "").splitlines()]
        return next((revision for revision, ref in found if ref == f"refs/heads/{branch}"), None)

    async def _access(self, repository: Repository, installation: int | None) -> tuple[str, dict[str, str]]:
        """Return the URL of a repository, and git's environment to read it."""
        url = clone_url(self._clone_url, repository)
        token = ""
        if self._github.may_see_tokens(url):
            token = await self._github.token(repository.owner, repository.name, installation)
        return url, _environment(token)

    async def _fetch(self, push: GitPushed, url: str, clone: Path, environment: dict[str, str]) -> None:
        fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]
        exactly = [*fetch, "--depth=1", "--", url, push.revision]
        if await _git(exactly, clone, environment, may_fail=True) is None:  # old servers give only tips of branches
            await _git([*fetch, "--", url, push.ref], clone, environment)


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


async def _git(arguments: list[str], where: Path, environment: dict[str, str], *, may_fail: bool = False) -> str | None:
    """Return what git prints; nothing when it fails and may; else TemporaryError."""
    process = await asyncio.create_subprocess_exec(
        "git", *arguments, cwd=where, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(ANSWERS_WITHIN):
            output, errors = await process.communicate()
    except (TimeoutError, asyncio.CancelledError) as error:
        process.kill()
        if isinstance(error, TimeoutError):
            raise TemporaryError(f"git {arguments[0]} took longer than {ANSWERS_WITHIN} s") from None
        raise
    if process.returncode == 0:
        return output.decode(errors="replace")
    if may_fail:
        return None
    reason = errors.decode(errors="replace").strip().splitlines()
    raise TemporaryError(f"git {arguments[0]}: {reason[-1] if reason else process.returncode}")
