"""GitHub's REST API, as far as it is needed; its errors become ours: try again, or never."""

from http import HTTPStatus
from urllib.parse import quote, urlsplit

import aiohttp
import gidgethub
import gidgethub.aiohttp
from gidgethub import BadRequest, sansio
from pydantic import BaseModel, ConfigDict

from estafette_common.github.credentials import AppTokens
from estafette_common.github.errors import NO_COMMIT, translated
from estafette_common.github.settings import GithubSettings

AGENT = "estafette"

ANSWERS_WITHIN = aiohttp.ClientTimeout(total=15)

RAW = "application/vnd.github.raw+json"

CLONE_TOKEN_LIFE = 30 * 60.0
"""Seconds that a token to clone with is good for at least: a job may wait before it begins."""


class CommitStatus(BaseModel):
    """A status of a commit, as GitHub has it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str
    """`pending`, `success`, `failure` or `error`"""
    target_url: str | None = None
    description: str | None = None
    context: str = "default"


class GithubClient:
    """Acts with a token or as an App's installation. A part of a service; usable after `start`."""

    def __init__(self, settings: GithubSettings) -> None:
        self._settings = settings
        self._app: AppTokens | None = None

    async def start(self) -> None:
        """Open the HTTP client."""
        self._session = aiohttp.ClientSession(timeout=ANSWERS_WITHIN)
        file = self._settings.github_app_key_file
        if self._settings.github_app_id and file is not None:
            self._app = AppTokens(
                gidgethub.aiohttp.GitHubAPI(self._session, AGENT, base_url=self._settings.github_api_url),
                app_id=self._settings.github_app_id,
                private_key=file.read_text(),
            )

    async def stop(self) -> None:
        """Close the HTTP client."""
        if hasattr(self, "_session"):
            await self._session.close()

    async def ready(self) -> bool:
        """Return whether it is open; whether GitHub answers is no reason to stop taking work."""
        return not self._session.closed

    async def read_file(
        self, owner: str, name: str, path: str, *, revision: str, installation: int | None
    ) -> str | None:
        """Return a file at a revision, or nothing when there is none. Raises TemporaryError or PermanentError."""
        url = f"{self._repository(owner, name)}/contents/{quote(path)}?ref={quote(revision, safe='')}"
        token = await self.token(owner, name, installation)
        headers = {"Accept": RAW, "User-Agent": AGENT, "X-GitHub-Api-Version": "2022-11-28"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        with translated(f"read {path}"):
            async with self._session.get(url, headers=headers) as response:
                body = await response.read()
                if response.status == HTTPStatus.OK:
                    return body.decode(errors="replace")
                if response.status == HTTPStatus.NOT_FOUND and NO_COMMIT.encode() not in body:
                    return None
                sansio.decipher_response(response.status, response.headers, body)
        return None

    async def branch_head(self, owner: str, name: str, branch: str, *, installation: int | None) -> str | None:
        """Return the revision that a branch points to, or nothing when there is none. Raises as `read_file`."""
        api = await self._api(owner, name, installation)
        with translated(f"read the branch {branch}"):
            try:
                found = await api.getitem(f"{self._repository(owner, name)}/git/ref/heads/{quote(branch)}")
            except BadRequest as error:
                if error.status_code == HTTPStatus.NOT_FOUND:
                    return None
                raise
        return str(found["object"]["sha"])

    async def create_commit_status(
        self, owner: str, name: str, revision: str, status: CommitStatus, *, installation: int | None
    ) -> None:
        """Add a status to a commit. Raises TemporaryError or PermanentError."""
        api = await self._api(owner, name, installation)
        with translated("add a commit status"):
            url = f"{self._repository(owner, name)}/statuses/{revision}"
            await api.post(url, data=status.model_dump(exclude_none=True))

    async def commit_statuses(
        self, owner: str, name: str, revision: str, *, installation: int | None
    ) -> list[CommitStatus]:
        """Return the newest hundred statuses of a commit. Raises TemporaryError or PermanentError."""
        api = await self._api(owner, name, installation)
        with translated("read commit statuses"):
            found = await api.getitem(f"{self._repository(owner, name)}/commits/{revision}/statuses?per_page=100")
        return [CommitStatus.model_validate(each) for each in found]

    def may_see_tokens(self, url: str) -> bool:
        """Return whether a URL to clone from leads to GitHub itself, encrypted: no other server is shown a token."""
        parts = urlsplit(url)
        return parts.scheme == "https" and parts.hostname == self._settings.web_host

    async def token(self, owner: str, name: str, installation: int | None) -> str:
        """Return a token to act on a repository with: of the App where it is installed, else the one that was set.

        Empty when there is none. `installation` is the one that the event came through, if any.
        """
        with translated("get a token"):
            if self._app is not None:
                installation = installation or await self._app.installation(owner, name)
                if installation is not None:
                    return await self._app.of_installation(installation)
        return self._settings.github_token.get_secret_value()

    async def clone_token(self, owner: str, name: str, installation: int | None) -> str:
        """Return a token that a job may clone the repository with: of an App, one that reads nothing else."""
        with translated("get a token to clone with"):
            if self._app is not None:
                installation = installation or await self._app.installation(owner, name)
                if installation is not None:
                    return await self._app.for_cloning(installation, name, good_for=CLONE_TOKEN_LIFE)
        return self._settings.github_token.get_secret_value()

    async def _api(self, owner: str, name: str, installation: int | None) -> gidgethub.aiohttp.GitHubAPI:
        token = await self.token(owner, name, installation)
        return gidgethub.aiohttp.GitHubAPI(
            self._session, AGENT, oauth_token=token or None, base_url=self._settings.github_api_url
        )

    def _repository(self, owner: str, name: str) -> str:
        return f"{self._settings.github_api_url}/repos/{quote(owner)}/{quote(name)}"
