"""Errors as the reference's API answers them: `{code, message}`."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import web
from estafette_common.database.pool import AWAY

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequestError(Exception):
    """The request is not understood; the message names the parameter and what it may be."""


class UnknownError(Exception):
    """There is no such thing; the message names it."""


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer whatever goes wrong in one shape, and never with anything of the inside."""
    try:
        _refuse_nul(request)
        return await handler(request)
    except BadRequestError as error:
        return _answer(HTTPStatus.BAD_REQUEST, str(error))
    except UnknownError as error:
        return _answer(HTTPStatus.NOT_FOUND, str(error))
    except web.HTTPNotFound:
        return _answer(HTTPStatus.NOT_FOUND, "Page not found")
    except web.HTTPException as error:
        return _answer(HTTPStatus(error.status), error.reason)
    except AWAY as error:
        log.warning("database cannot answer", path=request.path, error=repr(error))
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "the database cannot answer now; try again")


def _refuse_nul(request: web.Request) -> None:
    """Refuse what PostgreSQL cannot hold in a text, and what so can be no name."""
    for name, value in request.query.items():
        if "\0" in value:
            raise BadRequestError(f"{name[:40]}: holds a NUL character")
    if any("\0" in value for value in request.match_info.values()):
        raise UnknownError("there is nothing with a NUL character in its name")


def _answer(status: HTTPStatus, message: str) -> web.Response:
    return web.json_response({"code": status.phrase, "message": message}, status=status)
