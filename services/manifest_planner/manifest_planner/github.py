"""Manifests through GitHub's API."""

from estafette_common.bus.messages.events import GitPushed
from estafette_common.github.client import GithubClient
from estafette_common.jobs.plan import Repository

from manifest_planner.planning import MANIFEST


class GithubManifests:
    """Reads manifests from GitHub."""

    def __init__(self, github: GithubClient) -> None:
        self._github = github

    async def read(self, push: GitPushed) -> str | None:
        """Return the manifest at the pushed revision, or nothing. Raises TemporaryError or PermanentError."""
        repository = push.repository
        return await self._github.read_file(
            repository.owner, repository.name, MANIFEST, revision=push.revision, installation=push.installation
        )

    async def head(self, repository: Repository, branch: str, installation: int | None) -> str | None:
        """Return the revision that a branch points to, or nothing. Raises as `read`."""
        return await self._github.branch_head(repository.owner, repository.name, branch, installation=installation)
