"""Webhooks that were tampered with, each from a seed and its number. Pure."""

import base64
import gzip
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.fuzz import mutating

PATH = "/api/integrations/github/events"

BODY_LIMIT = 2 * 1024 * 1024
"""Bytes that the service under attack accepts."""

BOMB = gzip.compress(b" " * 20_000_000)
"""20 MB in 20 KB."""

Sample = tuple[str, Any]
"""The name of an event of GitHub's and a payload of it."""

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """What is sent, and what that lets one expect."""

    kind: str
    pieces: tuple[bytes, ...]
    """Sent one after the other, with a pause between."""
    delivery: str = ""
    """Its id, as it is sent."""
    genuine: bool = False
    """Whether the signature is that of the body: only then may it be taken."""
    must_be_taken: bool = False
    answer_due: bool = True
    """Whether it is a whole request; of another, the server may close the connection without a word."""
    alone: bool = False
    """Whether the connection cannot be used afterwards."""


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A request before it is put together."""

    body: bytes
    headers: list[Header]
    method: bytes = b"POST"
    path: bytes = PATH.encode()
    genuine: bool = True

    def header(self, name: bytes, value: bytes | None) -> None:
        """Set a header, or leave it out."""
        self.headers = [each for each in self.headers if each[0] != name]
        if value is not None:
            self.headers.append((name, value))

    def request(self, *, length: int | None = None) -> bytes:
        """Return the request as bytes; with `length`, it says so whatever the body has."""
        return self.head([(b"Content-Length", str(len(self.body) if length is None else length).encode())]) + self.body

    def head(self, more: Sequence[Header]) -> bytes:
        """Return the request line and the headers."""
        lines = [b"%b %b HTTP/1.1" % (self.method, self.path), *(b"%b: %b" % each for each in [*self.headers, *more])]
        return b"\r\n".join([*lines, b"", b""])


def make(number: int, *, seed: int, samples: Sequence[Sample], secret: bytes) -> Attack:
    """Return the attack of a number; the same for the same seed and samples."""
    random = Random(f"{seed}/{number}")
    event, payload = random.choice(samples)
    if random.random() < 0.4:
        event, payload = random.choice([sample for sample in samples if sample[0] == "push"])
    kind = random.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
    delivery = f"hostile-{seed}-{number}"
    body = json.dumps(payload).encode()
    draft = _Draft(
        body=body,
        headers=[
            (b"Host", b"ci.example.com"),
            (b"Content-Type", b"application/json"),
            (b"X-GitHub-Event", event.encode()),
            (b"X-GitHub-Delivery", delivery.encode()),
            (b"X-Hub-Signature-256", _signature(body, secret)),
        ],
    )
    attack: Attack = KINDS[kind][1](draft, random, secret, payload)
    told = next((value for name, value in draft.headers if name == b"X-GitHub-Delivery"), b"")
    return replace(attack, kind=kind, delivery=told.decode(errors="replace").strip())


def _signature(body: bytes, secret: bytes) -> bytes:
    return b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()


def _sign(draft: _Draft, secret: bytes) -> None:
    draft.header(b"X-Hub-Signature-256", _signature(draft.body, secret))


def _whole(draft: _Draft, **told: Any) -> Attack:
    return Attack(kind="", pieces=(draft.request(),), genuine=draft.genuine, **told)


def _untouched(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    return _whole(draft, must_be_taken=True)


def _document(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    draft.body = json.dumps(mutating.document(payload, random), ensure_ascii=random.random() < 0.8).encode(
        errors="surrogatepass"
    )
    _sign(draft, secret)
    return _whole(draft)


def _bytes(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    draft.body = mutating.raw(draft.body, random)
    _sign(draft, secret)
    return _whole(draft)


def _forged(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    signed, draft.genuine = draft.body, False
    match random.randrange(5):
        case 0:
            draft.body = mutating.raw(draft.body, random)
            draft.genuine = draft.body == signed
        case 1:
            _sign(draft, secret + b"x")
        case 2:
            draft.header(b"X-Hub-Signature-256", None)
            draft.header(b"X-Hub-Signature", b"sha1=" + hmac.new(secret, draft.body, hashlib.sha1).hexdigest().encode())
        case 3:
            draft.header(b"X-Hub-Signature-256", mutating.raw(_signature(draft.body, secret), random))
            draft.headers = [each for each in draft.headers if not set(each[1]) & set(b"\r\n\0")]
            draft.genuine = (b"X-Hub-Signature-256", _signature(draft.body, secret)) in draft.headers
        case _:
            value = random.choice(
                (b"", b"sha256=", b"sha512=00", b"sha256=" + b"f" * 5000, base64.b64encode(b"x" * 32))
            )
            draft.header(b"X-Hub-Signature-256", value)
    return _whole(draft)


HEADER_VALUES: tuple[bytes | None, ...] = (
    None, b"", b" ", b"a b", b"a" * 101, b"a" * 9_000, "é💥".encode(), b"\xff\xfe", b"a.b.*.>", b"push\x00",
    b"push\x7f", b"*/*", b"application/json; charset=utf-99", b"text/plain",
    b"application/x-www-form-urlencoded", b"../x", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"%00",
    b"multipart/form-data; boundary=x",
)  # fmt: skip


def _headers(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    name = random.choice(
        (b"X-GitHub-Event", b"X-GitHub-Delivery", b"Content-Type", b"X-Extra", b"traceparent", b"Host")
    )
    value = random.choice(HEADER_VALUES)
    draft.header(name, value)
    if random.random() < 0.2:
        draft.headers.append(random.choice(draft.headers))
    if random.random() < 0.1:
        draft.headers += [(b"X-Many-%d" % place, b"v" * 50) for place in range(random.choice((10, 90, 400)))]
    if random.random() < 0.1:
        draft.method = random.choice((b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"BREW"))
    if random.random() < 0.1:
        draft.path += random.choice((b"/", b"/x", b"?a=b", b"%00", b"/../../metrics", b"\xff", b"?" + b"a" * 9_000))
    return _whole(draft, answer_due=True, alone=True)


def _encoded(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    text = draft.body.decode()
    match random.randrange(7):
        case 0:
            draft.body = text.encode(random.choice(("utf-16", "utf-32", "utf-7", "utf-8-sig")))
            _sign(draft, secret)
        case 1:
            draft.body, draft.genuine = gzip.compress(draft.body), random.random() < 0.5
            _sign(draft, secret) if not draft.genuine else None
            draft.header(b"Content-Encoding", b"gzip")
        case 2:
            draft.body = mutating.raw(zlib.compress(draft.body), random)
            draft.header(b"Content-Encoding", b"deflate")
        case 3:
            draft.header(
                b"Content-Encoding", random.choice((b"br", b"zstd", b"gzip", b"x", b"gzip, gzip", b"identity"))
            )
        case 4:
            draft.body = BOMB
            _sign(draft, secret)
            draft.header(b"Content-Encoding", b"gzip")
        case 5:
            draft.body = b"payload=" + base64.b64encode(draft.body)
            _sign(draft, secret)
            draft.header(b"Content-Type", b"application/x-www-form-urlencoded")
        case _:
            draft.body = text.replace('"', random.choice(("'", "\\u0022", '""'))).encode()
            _sign(draft, secret)
    return _whole(draft, alone=True)


def _sized(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    padding = random.choice((-1, 0, 950_000, 1_100_000, BODY_LIMIT - 1000, BODY_LIMIT + 1))
    draft.body = random.choice((b"", b"{}", b"0", b"{")) if padding < 0 else draft.body[:-1] + b" " * padding + b"}"
    _sign(draft, secret)
    return _whole(draft, alone=True)


def _nested(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    depth = random.choice((100, 1_000, 20_000, 200_000))
    opened, closed = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"repository":', b"}")))
    inner = opened * depth + b"1" + closed * random.choice((0, depth))
    draft.body = random.choice(
        (inner, b'{"ref": "x", "after": "y", "commits": ' + inner + b"}", b'{"a": ' + inner + b"}")
    )
    _sign(draft, secret)
    return _whole(draft)


def _truncated(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    request = draft.request()
    return Attack(kind="", pieces=(request[: random.randrange(1, len(request))],), answer_due=False, alone=True)


def _slow(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    request = draft.request()
    cuts = sorted(random.sample(range(1, len(request)), 4))
    pieces = tuple(request[start:end] for start, end in zip([0, *cuts], [*cuts, len(request)], strict=True))
    if random.random() < 0.5:
        return Attack(kind="", pieces=pieces, genuine=True, must_be_taken=True)
    return Attack(kind="", pieces=pieces[:-1], answer_due=False, alone=True)


def _chunked(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    sizes = [random.choice((1, 7, 1000, 8192)) for _ in range(200)]
    chunks, at = [], 0
    for size in sizes:
        chunks.append(draft.body[at : at + size])
        at += size
    chunks.append(draft.body[at:])
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
    head = draft.head([(b"Transfer-Encoding", b"chunked")])
    if random.random() < 0.5:
        return Attack(kind="", pieces=(head + coded,), genuine=True, must_be_taken=True)
    return Attack(kind="", pieces=(head + mutating.raw(coded, random),), genuine=True, answer_due=False, alone=True)


def _protocol(draft: _Draft, random: Random, secret: bytes, payload: Any) -> Attack:
    match random.randrange(6):
        case 0:
            sent = mutating.raw(draft.head([(b"Content-Length", str(len(draft.body)).encode())]), random) + draft.body
        case 1:
            length = random.choice((-1, 10**18, 10**30, len(draft.body) + 5, max(0, len(draft.body) - 5)))
            sent = draft.request(length=length)
        case 2:
            sent = draft.head([(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")]) + b"0\r\n\r\n"
        case 3:
            sent = random.randbytes(random.choice((1, 100, 10_000)))
        case 4:
            sent = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(300)
        case _:
            sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + random.randbytes(30)
    return Attack(kind="", pieces=(sent,), genuine=True, answer_due=False, alone=True)


Make = Callable[[_Draft, Random, bytes, Any], Attack]

KINDS: dict[str, tuple[float, Make]] = {
    "untouched": (8, _untouched),
    "document": (28, _document),
    "bytes": (18, _bytes),
    "forged": (12, _forged),
    "headers": (16, _headers),
    "encoded": (6, _encoded),
    "sized": (0.4, _sized),
    "nested": (1, _nested),
    "truncated": (3, _truncated),
    "slow": (1.6, _slow),
    "chunked": (3, _chunked),
    "protocol": (3, _protocol),
}
"""How attacks are made, and how often of a hundred."""
