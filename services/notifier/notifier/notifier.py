"""Changes of builds in, commit statuses at the forge out."""

import structlog
from estafette_common.bus.messages.events import PipelineChanged
from estafette_common.bus.messages.message import Cause
from estafette_common.github.client import CommitStatus, GithubClient

from notifier.ledger import Ledger
from notifier.statuses import due

log = structlog.get_logger()

GITHUB = "github.com"


class Notifier:
    """Tells GitHub. Without credentials nothing is told."""

    def __init__(self, ledger: Ledger, github: GithubClient | None, *, server_url: str) -> None:
        self._ledger = ledger
        self._github = github
        self._server_url = server_url
        if github is None:
            log.info("no GitHub credential is set; nobody is told of builds")

    async def on_changed(self, change: PipelineChanged, _: Cause) -> None:
        """Tell what the commit's statuses must be by now, in order and each once."""
        if self._github is None or change.repository.source != GITHUB:
            log.debug("nobody to tell", build=change.build_id)
            return
        for status in due(change, server_url=self._server_url):
            await self._tell(self._github, change, status)

    async def _tell(self, github: GithubClient, change: PipelineChanged, status: CommitStatus) -> None:
        async with self._ledger.telling(change.build_id, status.state) as entry:
            if entry.delivered:
                return
            if entry.tries and await _is_there(github, change, status):
                log.info("commit status was told already", build=change.build_id, state=status.state)
                return
            repository = change.repository
            await github.create_commit_status(
                repository.owner, repository.name, change.revision, status, installation=change.installation
            )
            log.info("commit status told", build=change.build_id, state=status.state)


async def _is_there(github: GithubClient, change: PipelineChanged, status: CommitStatus) -> bool:
    """Return whether an earlier try reached the forge although its answer was lost."""
    repository = change.repository
    found = await github.commit_statuses(
        repository.owner, repository.name, change.revision, installation=change.installation
    )
    wanted = (status.state, status.target_url, status.context)
    return any((each.state, each.target_url, each.context) == wanted for each in found)
