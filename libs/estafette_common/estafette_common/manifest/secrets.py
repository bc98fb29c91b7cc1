"""Secrets in manifests and plans: AES-GCM envelopes, `estafette.secret(…)`.

The reference's envelope is `nonce.ciphertext`, or `nonce.ciphertext.allow list` for a secret that only some pipelines
may open. It seals the allow list with the nonce of the value, which gives parts of the value away to who knows the
list. So such envelopes are read here and never written: a restricted secret is `v2.key.nonce.ciphertext.allow list`,
where the list stands open and is bound to the value as associated data, and the key is named by its fingerprint.
"""

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from estafette_common.triggers import patterns

ENVELOPE = re.compile(r"estafette\.secret\(([a-zA-Z0-9.=_-]+)\)")
"""A secret as it stands in a text."""

NONCE_BYTES = 12
KEY_BYTES = (16, 24, 32)

VERSION = "v2"
PARTS = {VERSION: (5,)}
"""How many parts an envelope has by its first; one without a version has two or three."""

FINGERPRINT_BYTES = 6
"""Of a key: enough to tell the few keys of a server from each other."""

CONTEXT = b"estafette.secret/v2\0"
"""Goes before the allow list in the associated data."""

EVERYBODY = ".*"
"""The allow list of a secret that every pipeline may open."""

NAME_PART = 2
"""Place of the repository's name in `source/owner/name`."""

GITHUB_OWNER = "^github.com/.*/"

Keys = bytes | tuple[bytes, ...]
"""A key, or several of which the first is the newest: it seals, and all of them open."""


class SecretError(Exception):
    """A secret or a key cannot be used; the message says why and holds nothing secret."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A text with its envelopes opened; those that could not be are empty, and the faults say why."""

    text: str
    faults: tuple[SecretError, ...]


def parse_key(text: str) -> bytes:
    """Return the key of a base64 text; SecretError when it is none."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        raise SecretError("the secret key is not base64") from None
    return _checked(key)


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Return the keys of base64 texts separated by commas, the newest first; SecretError when one is none."""
    return tuple(parse_key(each) for each in text.split(","))


def encrypt(value: str, *, key: Keys, allow_list: str = EVERYBODY) -> str:
    """Return the value in an envelope that the pipelines of the allow list may open, sealed with the newest key.

    The allow list is a regular expression (RE2) for `source/owner/name` as a whole.
    """
    nonce, newest, allow_list = os.urandom(NONCE_BYTES), _all(key)[0], allow_list.strip()
    if allow_list in {"", EVERYBODY}:
        return f"estafette.secret({_encode(nonce)}.{_encode(AESGCM(newest).encrypt(nonce, value.encode(), None))})"
    try:
        patterns.compile(allow_list)
    except patterns.PatternError as error:
        raise SecretError(f"the allow list: {error}") from None
    bound = allow_list.encode()
    sealed = AESGCM(newest).encrypt(nonce, value.encode(), CONTEXT + bound)
    return f"estafette.secret({VERSION}.{_fingerprint(newest)}.{_encode(nonce)}.{_encode(sealed)}.{_encode(bound)})"


def open_all(text: str, *, key: Keys, pipeline: str, moved_to_github: bool = False) -> Opened:
    """Return the text with each envelope replaced by its value.

    `moved_to_github` opens a secret restricted to a repository elsewhere to every repository of that name at GitHub,
    whoever owns it, as the reference does: it is unsafe where others may push to GitHub.
    """
    faults: list[SecretError] = []

    def open_one(found: re.Match[str]) -> str:
        try:
            return _value(found[1], key, pipeline, moved_to_github=moved_to_github)
        except SecretError as error:
            faults.append(error)
            return ""

    return Opened(ENVELOPE.sub(open_one, text), tuple(faults))


def decrypt_all(text: str, *, key: Keys, pipeline: str) -> str:
    """Return the text with each envelope replaced by its value; SecretError when one cannot be opened."""
    return ENVELOPE.sub(lambda found: _value(found[1], key, pipeline), text)


def decrypt(text: str, *, key: Keys, pipeline: str) -> str:
    """Return the value of a text that is one envelope, or else the text as it is; SecretError as `decrypt_all`."""
    found = ENVELOPE.fullmatch(text)
    return text if found is None else _value(found[1], key, pipeline)


def reseal(text: str, *, key: Keys, new_key: bytes, pipeline: str, moved_to_github: bool = False) -> str:
    """Return the text with each envelope sealed with another key; SecretError when the pipeline may not open one."""

    def sealed_again(found: re.Match[str]) -> str:
        return encrypt(_value(found[1], key, pipeline, moved_to_github=moved_to_github), key=new_key)

    return ENVELOPE.sub(sealed_again, text)


def rotate(text: str, *, key: Keys) -> str:
    """Return the text with each envelope sealed with the newest key, as restricted as it was; SecretError."""

    def sealed_again(found: re.Match[str]) -> str:
        envelope = _read(found[1], key)
        return encrypt(envelope.value, key=key, allow_list=envelope.allow_list)

    return ENVELOPE.sub(sealed_again, text)


def plain_values(text: str, *, key: Keys, pipeline: str, moved_to_github: bool = False) -> list[str]:
    """Return the values of all envelopes in a text; SecretError when one cannot be opened."""
    return [_value(payload, key, pipeline, moved_to_github=moved_to_github) for payload in ENVELOPE.findall(text)]


def allow_list(text: str, *, key: Keys) -> str:
    """Return who may open a text that is one envelope: a regular expression; everybody where it is none."""
    found = ENVELOPE.fullmatch(text)
    return EVERYBODY if found is None else _read(found[1], key).allow_list


def mask(text: str) -> str:
    """Return the text with each envelope replaced by `***`."""
    return ENVELOPE.sub("***", text)


def seal_key(job_key: bytes, *, secret_key: Keys, job_id: str) -> str:
    """Return the key of a job, sealed so that only who has the secret key can use it, for this job alone."""
    nonce = os.urandom(NONCE_BYTES)
    return _encode(nonce + AESGCM(_all(secret_key)[0]).encrypt(nonce, job_key, job_id.encode()))


def unseal_key(sealed: str, *, secret_key: Keys, job_id: str) -> bytes:
    """Return the key of a job; SecretError when it was sealed with another secret key or for another job."""
    for key in _all(secret_key):
        try:
            data = _decode(sealed)
            return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], job_id.encode())
        except (InvalidTag, ValueError):
            continue
    raise SecretError("the job's key cannot be opened; planner and dispatcher need the same secret key")


@dataclass(frozen=True, slots=True)
class _Envelope:
    value: str
    allow_list: str


def _value(payload: str, key: Keys, pipeline: str, *, moved_to_github: bool = False) -> str:
    envelope = _read(payload, key)
    if not _allows(envelope.allow_list, pipeline, moved_to_github=moved_to_github):
        raise SecretError(f"a secret is restricted to other pipelines than {pipeline}")
    return envelope.value


def _read(payload: str, keys: Keys) -> _Envelope:
    version, *rest = parts = payload.split(".")
    if len(parts) not in PARTS.get(version, (2, 3)):
        raise SecretError("a secret has too few or too many parts; copy it whole, or encrypt it again")
    return _read_v2(_all(keys), *rest) if version == VERSION else _read_v1(_all(keys), *parts)


def _read_v1(keys: tuple[bytes, ...], nonce: str, *sealed: str) -> _Envelope:
    """Return an envelope that names no key, so that each is tried: of the reference, or for everybody."""
    for key in keys:
        try:
            value, *allowed = (AESGCM(key).decrypt(_nonce(nonce), _decode(data), None).decode() for data in sealed)
        except (InvalidTag, ValueError):
            continue
        return _Envelope(value, allowed[0].strip() if allowed else EVERYBODY)
    raise SecretError("a secret cannot be opened with this server's key; encrypt it again")


def _read_v2(keys: tuple[bytes, ...], fingerprint: str, nonce: str, sealed: str, allowed: str) -> _Envelope:
    key = next((each for each in keys if _fingerprint(each) == fingerprint), None)
    if key is None:
        raise SecretError("a secret was encrypted with a key that this server does not have; encrypt it again")
    try:
        bound = _decode(allowed)
        value = AESGCM(key).decrypt(_nonce(nonce), _decode(sealed), CONTEXT + bound)
        return _Envelope(value.decode(), bound.decode())
    except (InvalidTag, ValueError):
        raise SecretError("a secret cannot be opened, as it was changed; encrypt it again") from None


def _fingerprint(key: bytes) -> str:
    return _encode(hashlib.sha256(CONTEXT + key).digest()[:FINGERPRINT_BYTES])


def _nonce(text: str) -> bytes:
    nonce = _decode(text)
    if len(nonce) != NONCE_BYTES:
        raise SecretError(f"a secret's nonce has {len(nonce)} bytes instead of {NONCE_BYTES}; encrypt it again")
    return nonce


def _allows(allowed: str, pipeline: str, *, moved_to_github: bool) -> bool:
    try:
        if patterns.whole(allowed, pipeline):
            return True
        parts = allowed.split("/")
        return (
            moved_to_github
            and len(parts) > NAME_PART
            and patterns.compile(f"{GITHUB_OWNER}{parts[NAME_PART]}$").search(pipeline) is not None
        )
    except patterns.PatternError:
        return False


def _all(keys: Keys) -> tuple[bytes, ...]:
    return tuple(_checked(key) for key in ((keys,) if isinstance(keys, bytes) else keys))


def _checked(key: bytes) -> bytes:
    if len(key) not in KEY_BYTES:
        raise SecretError(f"the secret key has {len(key)} bytes; it must have 16, 24 or 32")
    return key


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)
