"""Passing requests for the API on to it, piece by piece as they come, live logs too."""

import aiohttp
import structlog
from aiohttp import web
from multidict import CIMultiDict, MultiMapping
from yarl import URL

log = structlog.get_logger()

HOP_BY_HOP = frozenset(
    {
        "connection",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that concern one connection alone (RFC 9110, 7.6.1)."""

NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10)


class ApiPassage:
    """A part of the service: one HTTP client for all requests."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url

    async def start(self) -> None:
        """Open the HTTP client."""
        self._session = aiohttp.ClientSession(timeout=NO_TIMEOUT, auto_decompress=False)

    async def stop(self) -> None:
        """Close the HTTP client."""
        if hasattr(self, "_session"):
            await self._session.close()

    async def ready(self) -> bool:
        """Return whether it is open; the API's readiness is its own."""
        return not self._session.closed

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer as the API does; 502 when it cannot be reached."""
        url = self._api_url + request.raw_path
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                headers=_passed(request.headers),
                data=request.content if request.can_read_body else None,
                allow_redirects=False,
            ) as answer:
                return await _pass_back(request, answer)
        except aiohttp.ClientConnectionError as error:
            log.warning("api cannot be reached", path=request.path, error=repr(error))
            body = {"code": "Bad Gateway", "message": "the API cannot be reached; try again"}
            return web.json_response(body, status=502)


async def _pass_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_passed(answer.headers))
    await response.prepare(request)
    try:
        async for data in answer.content.iter_any():
            await response.write(data)
        await response.write_eof()
    except (ConnectionResetError, aiohttp.ClientPayloadError):
        if request.transport is not None:  # one side is gone: the other shall not take it for the end
            request.transport.close()
    return response


def _passed(headers: MultiMapping[str]) -> CIMultiDict[str]:
    found = CIMultiDict(headers.items())
    for name in HOP_BY_HOP:
        found.popall(name, None)
    return found
