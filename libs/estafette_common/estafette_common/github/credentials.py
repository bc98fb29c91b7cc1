"""Who we are at GitHub: the token that a request is made with."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

import gidgethub
from gidgethub.abc import GitHubAPI
from gidgethub.apps import get_jwt

JWT_LIFE = 9 * 60
"""Seconds. GitHub takes ten minutes at most; the issue time is set back by one for clocks that differ."""

INSTALLATION_KEPT = 10 * 60.0
"""Seconds for which it is remembered whether, and as what, the App is installed on a repository."""

JWT_RENEWED_AFTER = 7 * 60.0

TOKEN_MARGIN = 5 * 60.0
"""Seconds before its end after which an installation token is not handed out; it lives an hour."""


@dataclass(frozen=True, slots=True)
class _Kept:
    value: str = field(repr=False)
    good_until: float
    """Seconds since the epoch."""


class _Cache:
    """Values that expire; each is made by one caller at a time while the others wait for it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], _Kept] = {}
        self._locks: dict[tuple[str, ...], asyncio.Lock] = {}

    async def get(self, key: tuple[str, ...], make: Callable[[], Awaitable[_Kept]], *, margin: float = 0.0) -> str:
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or kept.good_until - margin < time.time():
                kept = self._kept[key] = await make()
            return kept.value


class AppTokens:
    """Tokens of a GitHub App: one per installation for us, one per repository for a job to clone with."""

    def __init__(self, api: GitHubAPI, *, app_id: str, private_key: str) -> None:
        self._api = api
        self._app_id = app_id
        self._private_key = private_key
        self._cache = _Cache()

    async def of_installation(self, installation: int) -> str:
        """Return a token with all the installation may do, good for five minutes at least."""
        return await self._cache.get((str(installation),), lambda: self._request(installation, {}), margin=TOKEN_MARGIN)

    async def for_cloning(self, installation: int, repository: str, *, good_for: float) -> str:
        """Return a token that may read one repository and nothing else, good for `good_for` seconds at least."""
        limits: dict[str, object] = {"repositories": [repository], "permissions": {"contents": "read"}}
        return await self._cache.get(
            (str(installation), repository), lambda: self._request(installation, limits), margin=good_for
        )

    async def installation(self, owner: str, name: str) -> int | None:
        """Return the installation of the App on a repository, or nothing when there is none.

        For events that did not come through the App, such as those of a webhook of the repository itself.
        """
        return int(await self._cache.get(("installation", owner, name), lambda: self._find(owner, name))) or None

    async def _find(self, owner: str, name: str) -> _Kept:
        try:
            found = await self._api.getitem(
                "/repos/{owner}/{name}/installation",
                {"owner": owner, "name": name},
                jwt=await self._cache.get(("jwt",), self._sign),
            )
        except gidgethub.BadRequest as error:
            if error.status_code != HTTPStatus.NOT_FOUND:
                raise
            found = {"id": 0}
        return _Kept(str(found["id"]), time.time() + INSTALLATION_KEPT)

    async def _request(self, installation: int, limits: dict[str, object]) -> _Kept:
        answer = await self._api.post(
            "/app/installations/{installation_id}/access_tokens",
            {"installation_id": str(installation)},
            data=limits,
            jwt=await self._cache.get(("jwt",), self._sign),
        )
        return _Kept(answer["token"], datetime.fromisoformat(answer["expires_at"]).timestamp())

    async def _sign(self) -> _Kept:
        """Sign in a thread: RS256 with a fresh PEM takes tens of milliseconds."""
        signed = await asyncio.to_thread(
            get_jwt, app_id=self._app_id, private_key=self._private_key, expiration=JWT_LIFE
        )
        return _Kept(signed, time.time() + JWT_RENEWED_AFTER)
