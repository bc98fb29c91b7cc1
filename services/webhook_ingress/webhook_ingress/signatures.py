"""Whether a webhook comes from who shares our secret. Pure."""

import hashlib
import hmac
from http import HTTPStatus

PREFIX = "sha256="


class RefusedError(Exception):
    """The webhook is not taken; the reason says why, and nothing of what it holds."""

    def __init__(self, reason: str, *, status: HTTPStatus = HTTPStatus.UNAUTHORIZED) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


def check(body: bytes, *, signature: str | None, old_signature: str | None, secret: bytes) -> None:
    """Return if the signature is the HMAC-SHA256 of the raw body, compared in constant time; else RefusedError.

    GitHub sends it as `X-Hub-Signature-256: sha256=<hex>`. The older `X-Hub-Signature` (SHA-1) is never enough.
    """
    if signature is None:
        if old_signature is not None:
            raise RefusedError("only a SHA-1 signature was sent; X-Hub-Signature-256 is required")
        raise RefusedError("X-Hub-Signature-256 is missing; set a secret on the webhook")
    if not signature.startswith(PREFIX):
        raise RefusedError("X-Hub-Signature-256 does not begin with sha256=")
    expected = hmac.digest(secret, body, hashlib.sha256).hex()
    if not hmac.compare_digest(expected.encode(), signature.removeprefix(PREFIX).encode(errors="replace")):
        raise RefusedError("the signature does not match the body; check the secret on both sides")
