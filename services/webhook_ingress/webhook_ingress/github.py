"""GitHub's webhooks: verified, stored as they came, and only then answered."""

from http import HTTPStatus
from time import perf_counter

import msgspec
import structlog
from aiohttp import web
from estafette_common.bus.messages.events import GithubEvent
from estafette_common.bus.payloads import Payloads
from estafette_common.bus.publishing import NotStoredError, Publisher
from estafette_common.telemetry import doing

from webhook_ingress.metrics import ANSWERED, SECONDS
from webhook_ingress.pushes import NotAPushError, read
from webhook_ingress.signatures import RefusedError, check

log = structlog.get_logger()

RETRY_AFTER = "10"
"""Seconds after which a sender may try again when nothing could be stored."""

LONGEST_NAME = 100
"""Characters of a delivery id or an event name; GitHub's are far shorter."""

LARGEST_MESSAGE = 900 * 1024
"""Bytes of a payload that still travels in its message; nats-server takes 1 MiB with headers unless told otherwise."""

IS_JSON = {"Content-Type": "application/json"}

_JSON = msgspec.json.Encoder()
_JSON_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class GithubHooks:
    """Takes GitHub's webhooks."""

    def __init__(self, bus: Publisher, payloads: Payloads, secret: str) -> None:
        self._bus = bus
        self._payloads = payloads
        self._secret = secret.encode()

    async def receive(self, request: web.Request) -> web.Response:
        """Answer 2xx once the event is stored, so that a lost answer is a repeat and never a loss.

        400 not what GitHub sends, 401 not verified, 413 too large, 415 not JSON, 503 not stored: send it again.
        """
        began = perf_counter()
        with doing("github webhook", request.headers):
            try:
                response = await self._take(request)
            except RefusedError as error:
                log.warning("webhook refused", forge="github", status=error.status.value, reason=error.reason)
                response = _refusal(error)
        ANSWERED.labels("github", str(response.status)).inc()
        SECONDS.labels("github").observe(perf_counter() - began)
        return response

    async def _take(self, request: web.Request) -> web.Response:
        body = await _verified(request, self._secret)
        kind, delivery = _name(request, "X-GitHub-Event"), _name(request, "X-GitHub-Delivery")
        _check(kind, body)
        await self._store(kind, body, delivery)
        log.debug("webhook accepted", forge="github", kind=kind, delivery=delivery)
        return web.Response(body=_JSON.encode({"event": kind, "delivery": delivery}), headers=IS_JSON)

    async def _store(self, kind: str, body: bytes, delivery: str) -> None:
        try:
            event = GithubEvent(kind=kind, payload=body)
            if len(body) > LARGEST_MESSAGE:
                event = GithubEvent(kind=kind, dataref=await self._payloads.keep(delivery, body))
            await self._bus.publish(event, id=delivery)
        except NotStoredError as error:
            log.warning("webhook not stored", delivery=delivery, error=str(error))
            reason = "the event could not be stored; send it again"
            raise RefusedError(reason, status=HTTPStatus.SERVICE_UNAVAILABLE) from error


async def _verified(request: web.Request, secret: bytes) -> bytes:
    """Return the body of a request that comes from who shares the secret; else RefusedError."""
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        reason = "the body is larger than this server accepts"
        raise RefusedError(reason, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE) from None
    except (web.RequestPayloadError, ConnectionError):  # not in the encoding that its headers name, or cut off
        raise RefusedError("the body could not be read to its end", status=HTTPStatus.BAD_REQUEST) from None
    signature, old_signature = (request.headers.get(name) for name in ("X-Hub-Signature-256", "X-Hub-Signature"))
    check(body, signature=signature, old_signature=old_signature, secret=secret)
    if request.content_type != "application/json":
        reason = "set the webhook's content type to application/json"
        raise RefusedError(reason, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    return body


def _name(request: web.Request, header: str) -> str:
    text = request.headers.get(header, "")
    if not (0 < len(text) <= LONGEST_NAME and text.isascii() and text.isprintable() and " " not in text):
        raise RefusedError(f"{header} is missing or malformed", status=HTTPStatus.BAD_REQUEST)
    return text


def _check(kind: str, body: bytes) -> None:
    """Return if a verified body is what GitHub sends for the kind, as far as we know it; else RefusedError."""
    try:
        str(body, "utf-8")  # msgspec passes over what nobody asks for, and a reader of the event would stumble there
        if kind == "push":
            read(body)
        else:
            _JSON_OBJECT.decode(body)
    except NotAPushError as error:
        raise RefusedError(str(error), status=HTTPStatus.BAD_REQUEST) from None
    except UnicodeDecodeError:
        raise RefusedError("the body is not UTF-8", status=HTTPStatus.BAD_REQUEST) from None
    except (msgspec.MsgspecError, RecursionError):
        reason = "the body is not a JSON object, or nested too deeply"
        raise RefusedError(reason, status=HTTPStatus.BAD_REQUEST) from None


def _refusal(error: RefusedError) -> web.Response:
    body = {"code": error.status.phrase, "message": error.reason}
    headers = {"Retry-After": RETRY_AFTER} if error.status is HTTPStatus.SERVICE_UNAVAILABLE else None
    return web.json_response(body, status=error.status, headers=headers)
