"""GitHub's REST API, as far as it is needed; its errors become ours: try again, or never."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
import gidgethub
import gidgethub.aiohttp
import gidgethub.apps
import structlog
from pydantic import BaseModel, ConfigDict

from estafette_common.bus.delivery import PermanentError, TemporaryError
from estafette_common.github.settings import GithubSettings

log = structlog.get_logger()

AGENT = "estafette"

ANSWERS_WITHIN = aiohttp.ClientTimeout(total=15)

TOKEN_LIFE = 55 * 60.0
"""Seconds; an installation token lives an hour."""

RAW = "application/vnd.github.raw+json"


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
        self._tokens: dict[int, tuple[str, float]] = {}

    async def start(self) -> None:
        """Open the HTTP client."""
        self._session = aiohttp.ClientSession(timeout=ANSWERS_WITHIN)
        file = self._settings.github_app_key_file
        self._app_key = file.read_text() if file is not None else ""

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
        token = await self.token(installation)
        async with _translated("contents"):
            headers = {"Accept": RAW, "User-Agent": AGENT, "X-GitHub-Api-Version": "2022-11-28"}
            headers |= {"Authorization": f"Bearer {token}"} if token else {}
            async with self._session.get(url, headers=headers) as response:
                if response.status == 404:
                    return None
                await _raise_for(response, "contents")
                return await response.text()

    async def create_commit_status(
        self, owner: str, name: str, revision: str, status: CommitStatus, *, installation: int | None
    ) -> None:
        """Add a status to a commit. Raises TemporaryError or PermanentError."""
        api = await self._api(installation)
        async with _translated("statuses"):
            url = f"{self._repository(owner, name)}/statuses/{revision}"
            await api.post(url, data=status.model_dump(exclude_none=True))

    async def commit_statuses(
        self, owner: str, name: str, revision: str, *, installation: int | None
    ) -> list[CommitStatus]:
        """Return the newest hundred statuses of a commit. Raises TemporaryError or PermanentError."""
        api = await self._api(installation)
        async with _translated("statuses"):
            found = await api.getitem(f"{self._repository(owner, name)}/commits/{revision}/statuses?per_page=100")
        return [CommitStatus.model_validate(each) for each in found]

    async def token(self, installation: int | None) -> str:
        """Return a token to act with: the one that was set, or one of the App's installation; empty for none."""
        fixed = self._settings.github_token.get_secret_value()
        if fixed or not self._settings.github_app_id or installation is None:
            return fixed
        token, until = self._tokens.get(installation, ("", 0.0))
        if time.monotonic() < until:
            return token
        async with _translated("installation token"):
            fresh = await self._installation_token(installation)
        self._tokens[installation] = (fresh, time.monotonic() + TOKEN_LIFE)
        return fresh

    async def _installation_token(self, installation: int) -> str:
        jwt = await asyncio.to_thread(
            gidgethub.apps.get_jwt, app_id=self._settings.github_app_id, private_key=self._app_key
        )
        api = gidgethub.aiohttp.GitHubAPI(self._session, AGENT, base_url=self._settings.github_api_url)
        answer = await api.post(f"/app/installations/{installation}/access_tokens", data={}, jwt=jwt)
        return str(answer["token"])

    async def _api(self, installation: int | None) -> gidgethub.aiohttp.GitHubAPI:
        token = await self.token(installation)
        return gidgethub.aiohttp.GitHubAPI(
            self._session, AGENT, oauth_token=token or None, base_url=self._settings.github_api_url
        )

    def _repository(self, owner: str, name: str) -> str:
        return f"{self._settings.github_api_url}/repos/{quote(owner)}/{quote(name)}"


@asynccontextmanager
async def _translated(what: str) -> AsyncIterator[None]:
    """Turn what the libraries raise into our two kinds of errors, without any of the request in them."""
    try:
        yield
    except gidgethub.RateLimitExceeded as error:
        delay = max(1.0, error.rate_limit.reset_datetime.timestamp() - time.time())
        raise TemporaryError(f"GitHub {what}: rate limit exceeded", delay=delay) from None
    except gidgethub.HTTPException as error:
        raise _error(what, int(error.status_code)) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TemporaryError(f"GitHub {what}: cannot be reached: {type(error).__name__}") from None


async def _raise_for(response: aiohttp.ClientResponse, what: str) -> None:
    if response.status >= 400:
        limited = response.headers.get("X-RateLimit-Remaining") == "0" or "Retry-After" in response.headers
        if limited:
            delay = float(response.headers.get("Retry-After", "60"))
            raise TemporaryError(f"GitHub {what}: rate limit exceeded", delay=delay)
        raise _error(what, response.status)


def _error(what: str, status: int) -> Exception:
    if status >= 500 or status in {408, 409, 425, 429}:
        return TemporaryError(f"GitHub {what}: answered {status}")
    return PermanentError(f"GitHub {what}: refused with {status}")
