"""Git servers over HTTP: a file of a revision or the head of a branch in one request, without a program or a clone.

Version 2 of git's protocol (gitprotocol-http(5), gitprotocol-v2(5)), with a filter, so that of the revision only what
is in its root is sent. Whatever a server cannot do, or says against it, is a GitError and left to the git program.
"""

import base64
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from manifest_planner import packets
from manifest_planner.packets import GitError
from manifest_planner.packs import file_at

ANSWERS_WITHIN = aiohttp.ClientTimeout(total=15)

MOST = 4 * 1024 * 1024
"""Bytes of an answer."""

STEP = 64 * 1024

ROOT = "tree:2"
"""The filter: the folder of the root and what lies in it, and nothing below."""

VERSION_2 = {"Git-Protocol": "version=2"}
ASKED = "application/x-git-upload-pack-request"


class GitServers:
    """Asks any git server that speaks HTTP. Usable between `start` and `stop`."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        """Servers that were able, without paths."""

    async def start(self) -> None:
        """Open the HTTP client."""
        self._session = aiohttp.ClientSession(timeout=ANSWERS_WITHIN)

    async def stop(self) -> None:
        """Close the HTTP client."""
        if hasattr(self, "_session"):
            await self._session.close()

    async def ready(self) -> bool:
        """Return whether it is open; whether servers answer is no reason to stop taking work."""
        return not self._session.closed

    def reaches(self, url: str) -> bool:
        """Return whether a URL is of such a server."""
        return urlsplit(url).scheme in {"http", "https"}

    async def file(self, url: str, revision: str, name: str, *, token: str = "") -> bytes | None:
        """Return a file in the root of a revision, or nothing when there is none. Raises GitError."""
        wanted = packets.request("fetch", f"want {revision}", "deepen 1", f"filter {ROOT}", "no-progress", "done")
        return file_at(packets.pack_of(await self._ask(url, wanted, token)), revision, name)

    async def head(self, url: str, branch: str, *, token: str = "") -> str | None:
        """Return the revision that a branch points to, or nothing when there is none. Raises GitError."""
        ref = f"refs/heads/{branch}"
        return packets.revision_of(await self._ask(url, packets.request("ls-refs", f"ref-prefix {ref}"), token), ref)

    async def _ask(self, url: str, question: bytes, token: str) -> bytes:
        """Return the answer of a server that is able to give it."""
        server, headers = "{0.scheme}://{0.netloc}".format(urlsplit(url)), VERSION_2 | _authorization(token)
        try:
            if server not in self._known:
                await self._learn(url, headers)
                self._known.add(server)
            return await self._read("POST", f"{url}/git-upload-pack", headers | {"Content-Type": ASKED}, question)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._known.discard(server)
            raise GitError(f"{type(error).__name__} while {server} was asked") from error
        except GitError:
            self._known.discard(server)
            raise

    async def _learn(self, url: str, headers: dict[str, str]) -> None:
        told = packets.capabilities(await self._read("GET", f"{url}/info/refs?service=git-upload-pack", headers))
        if "filter" not in told.get("fetch", "").split() or told.get("object-format", "sha1") != "sha1":
            raise GitError("the server does not know version 2 of the protocol, with filters and SHA-1")

    async def _read(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
        """Return what is answered. Where a repository moved to is for the git program to find out."""
        async with self._session.request(method, url, headers=headers, data=body, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                raise GitError(f"HTTP status {response.status}")
            answer = bytearray()
            async for part in response.content.iter_chunked(STEP):
                answer += part
                if len(answer) > MOST:
                    raise GitError(f"an answer of more than {MOST} bytes")
            return bytes(answer)


def _authorization(token: str) -> dict[str, str]:
    if not token:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(f'x-access-token:{token}'.encode()).decode()}"}
