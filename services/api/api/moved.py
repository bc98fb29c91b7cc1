"""Old names of pipelines lead to where these are now, so that links outlive a move."""

from http import HTTPStatus
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from estafette_common.database.pool import Database

PARTS = ("source", "owner", "name")

BEFORE_REST = 6
"""Parts of `/api/pipelines/{source}/{owner}/{name}` before what follows; the first is empty."""


def redirect(database: Database) -> Middleware:
    """Return what answers requests for a pipeline that moved with 307 and its new address.

    No permanent redirect, for another repository may come to have the old name.
    """

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        where = request.match_info
        if all(part in where for part in PARTS):
            moved_to = await database.pool.fetchval(MOVED_TO, *(where[part] for part in PARTS))
            if moved_to:
                return web.Response(status=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": _at(moved_to, request)})
        return await handler(request)

    return look


def _at(pipeline: str, request: web.Request) -> str:
    parts = [quote(part, safe="") for part in pipeline.split("/", 2)]
    rest = request.rel_url.raw_path.split("/")[BEFORE_REST:]
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    return "/".join(["/api/pipelines", *parts, *rest]) + query


MOVED_TO = "SELECT moved_to FROM pipelines WHERE source = $1 AND owner = $2 AND name = $3"
