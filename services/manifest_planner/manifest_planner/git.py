"""Manifests from any git server: in one request where it speaks HTTP and is able to, else by the git program."""

import structlog
from estafette_common.bus.messages.events import GitPushed
from estafette_common.github.client import GithubClient
from estafette_common.jobs.plan import Repository

from manifest_planner.clones import Clones, Remote
from manifest_planner.git_servers import GitServers
from manifest_planner.packets import GitError
from manifest_planner.planning import MANIFEST, clone_url

log = structlog.get_logger()


class GitManifests:
    """Reads manifests of just the pushed revision."""

    def __init__(self, servers: GitServers, clones: Clones, clone_url: str, github: GithubClient) -> None:
        self._servers = servers
        self._clones = clones
        self._clone_url = clone_url
        self._github = github

    async def read(self, push: GitPushed) -> str | None:
        """Return the manifest at the pushed revision, or nothing. Raises TemporaryError when git cannot say."""
        remote = await self._remote(push.repository, push.installation)
        if self._servers.reaches(remote.url):
            try:
                content = await self._servers.file(remote.url, push.revision, MANIFEST, token=remote.token)
            except GitError as error:
                log.info("read with a clone", pipeline=push.repository.pipeline, reason=str(error))
            else:
                return content.decode(errors="replace") if content is not None else None
        return await self._clones.file(remote, push.repository.pipeline, push.revision, MANIFEST, ref=push.ref)

    async def head(self, repository: Repository, branch: str, installation: int | None) -> str | None:
        """Return the revision that a branch points to, or nothing. Raises TemporaryError when git cannot say."""
        remote = await self._remote(repository, installation)
        if self._servers.reaches(remote.url):
            try:
                return await self._servers.head(remote.url, branch, token=remote.token)
            except GitError as error:
                log.info("asked by the git program", pipeline=repository.pipeline, reason=str(error))
        return await self._clones.head(remote, branch)

    async def _remote(self, repository: Repository, installation: int | None) -> Remote:
        url = clone_url(self._clone_url, repository)
        may_see = self._github.may_see_tokens(url)
        token = await self._github.token(repository.owner, repository.name, installation) if may_see else ""
        return Remote(url, token)
