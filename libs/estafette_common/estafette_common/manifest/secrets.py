"""Secrets in manifests and plans: AES-GCM envelopes, `estafette.secret(nonce.ciphertext[.allow list])`.

The format is the reference's, so that existing secrets keep working. It seals the allow list with the nonce of the
value, which gives parts of the value away to who knows the list; such envelopes are read here and never written.
"""

import base64
import binascii
import os
import re

import re2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENVELOPE = re.compile(r"estafette\.secret\(([a-zA-Z0-9.=_-]+)\)")
"""A secret as it stands in a text."""

NONCE_BYTES = 12
KEY_BYTES = (16, 24, 32)


class SecretError(Exception):
    """A secret or a key cannot be used; the message says why and holds nothing secret."""


def parse_key(text: str) -> bytes:
    """Return the key of a base64 text; SecretError when it is none."""
    try:
        key = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise SecretError("the secret key is not base64") from None
    if len(key) not in KEY_BYTES:
        raise SecretError(f"the secret key has {len(key)} bytes; it must have 16, 24 or 32")
    return key


def encrypt(value: str, *, key: bytes) -> str:
    """Return the value in an envelope that every pipeline may open."""
    nonce = os.urandom(NONCE_BYTES)
    return f"estafette.secret({_encode(nonce)}.{_encode(AESGCM(key).encrypt(nonce, value.encode(), None))})"


def decrypt_all(text: str, *, key: bytes, pipeline: str) -> str:
    """Return the text with each envelope replaced by its value; SecretError when one cannot be opened."""
    return ENVELOPE.sub(lambda found: _open(found[1], key=key, pipeline=pipeline), text)


def reseal(text: str, *, key: bytes, new_key: bytes, pipeline: str) -> str:
    """Return the text with each envelope sealed with another key; SecretError when one cannot be opened."""
    return ENVELOPE.sub(lambda found: encrypt(_open(found[1], key=key, pipeline=pipeline), key=new_key), text)


def plain_values(text: str, *, key: bytes, pipeline: str) -> list[str]:
    """Return the values of all envelopes in a text; SecretError when one cannot be opened."""
    return [_open(payload, key=key, pipeline=pipeline) for payload in ENVELOPE.findall(text)]


def mask(text: str) -> str:
    """Return the text with each envelope replaced by `***`."""
    return ENVELOPE.sub("***", text)


def seal_key(job_key: bytes, *, secret_key: bytes, job_id: str) -> str:
    """Return the key of a job, sealed so that only who has the secret key can use it, for this job alone."""
    nonce = os.urandom(NONCE_BYTES)
    return _encode(nonce + AESGCM(secret_key).encrypt(nonce, job_key, job_id.encode()))


def unseal_key(sealed: str, *, secret_key: bytes, job_id: str) -> bytes:
    """Return the key of a job; SecretError when it was sealed with another secret key or for another job."""
    try:
        data = _decode(sealed)
        return AESGCM(secret_key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], job_id.encode())
    except (InvalidTag, ValueError):
        raise SecretError("the job's key cannot be opened; planner and dispatcher need the same secret key") from None


def _open(payload: str, *, key: bytes, pipeline: str) -> str:
    parts = payload.split(".")
    if len(parts) not in (2, 3):
        raise SecretError("a secret has neither two nor three parts; encrypt it again")
    try:
        nonce, *sealed = (_decode(part) for part in parts)
        if len(nonce) != NONCE_BYTES:
            raise SecretError(f"a secret's nonce has {len(nonce)} bytes instead of {NONCE_BYTES}; encrypt it again")
        value, *allow_list = (AESGCM(key).decrypt(nonce, data, None).decode() for data in sealed)
    except (InvalidTag, ValueError):
        raise SecretError("a secret cannot be opened with this server's key; encrypt it again") from None
    if allow_list and not _allows(allow_list[0], pipeline):
        raise SecretError(f"a secret is restricted to other pipelines than {pipeline}")
    return value


def _allows(allow_list: str, pipeline: str) -> bool:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(allow_list.strip(), options).fullmatch(pipeline) is not None
    except re2.error:
        return False


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)
