import hashlib
import hmac

import pytest
from webhook_ingress.signatures import RefusedError, check

SECRET = b"it's a secret to everybody"
BODY = b'{"zen": "Design for failure."}'
GOOD = "sha256=" + hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()


def test_the_hmac_of_the_raw_body_is_accepted() -> None:
    check(BODY, signature=GOOD, old_signature=None, secret=SECRET)


@pytest.mark.parametrize(
    ("body", "signature", "old_signature", "reason"),
    [
        (BODY + b" ", GOOD, None, "does not match"),
        (BODY, GOOD.upper(), None, "does not begin with sha256="),
        (BODY, "sha256=", None, "does not match"),
        (BODY, "sha256=\udcff", None, "does not match"),
        (BODY, None, None, "is missing"),
        (BODY, None, "sha1=" + hmac.new(SECRET, BODY, "sha1").hexdigest(), "SHA-1"),
    ],
)
def test_anything_else_is_refused_with_its_reason(
    body: bytes, signature: str | None, old_signature: str | None, reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        check(body, signature=signature, old_signature=old_signature, secret=SECRET)
