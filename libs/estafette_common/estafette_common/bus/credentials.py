"""Who may do what on NATS: keys, and the credentials that are signed with them.

A credential is a JWT of NATS' own kind (https://github.com/nats-io/jwt, version 2) that names a user's public key and
permissions, with the seed of that key. The server needs only the public key of the account that signed it.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

import nkeys

from estafette_common.bus.subjects import JOB_CANCEL, JOB_FINISHED, JOB_HEARTBEAT, JOB_STAGE, JOB_STARTED, LOG, fill

OPERATOR: int = nkeys.PREFIX_BYTE_OPERATOR
ACCOUNT: int = nkeys.PREFIX_BYTE_ACCOUNT
USER: int = nkeys.PREFIX_BYTE_USER

TOLD_BY_JOBS = (JOB_STARTED, JOB_STAGE, JOB_HEARTBEAT, JOB_FINISHED, LOG)
"""Subjects that a job publishes on."""

HEARD_BY_JOBS = (JOB_CANCEL,)
"""Subjects that a job listens to."""

INBOX = "_INBOX_JOB.{kind}.{job_id}"
"""Where the answers to a job come: nobody else may listen there, and it may listen nowhere else."""

MOST_SUBSCRIPTIONS = 16
"""Of one job: its inbox and its cancel, with some room."""

NO_LIMIT = -1


class Key:
    """An Ed25519 key of NATS; what it stands for (operator, account, user) is part of it."""

    def __init__(self, seed: str) -> None:
        """Take a seed as NATS writes it (`SA…`); ValueError if it is none."""
        try:
            self._pair = nkeys.from_seed(bytearray(seed.strip().encode()))
            self.public: str = self._pair.public_key.decode()
        except (nkeys.NkeysError, ValueError) as error:
            raise ValueError("not the seed of a NATS key") from error
        self.seed = seed.strip()

    @classmethod
    def new(cls, kind: int) -> Self:
        """Return a fresh key of a kind, OPERATOR, ACCOUNT or USER."""
        return cls(nkeys.encode_seed(os.urandom(32), kind).decode())

    def sign(self, subject: str, name: str, claims: Mapping[str, Any], *, expires: datetime | None = None) -> str:
        """Return the JWT in which this key states `claims` about the public key `subject`, until `expires`."""
        body: dict[str, Any] = {
            "iat": int(datetime.now(UTC).timestamp()),
            "iss": self.public,
            "sub": subject,
            "name": name,
            "nats": {**claims, "version": 2},
        }
        if expires is not None:
            body["exp"] = int(expires.timestamp())
        body["jti"] = base64.b32encode(hashlib.sha256(_json(body)).digest()).decode().rstrip("=")
        signed = f"{_base64(_json({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{_base64(_json(body))}"
        return f"{signed}.{_base64(self._pair.sign(signed.encode()))}"


def user_credential(account: Key, name: str, claims: Mapping[str, Any], *, expires: datetime | None = None) -> str:
    """Return the credential of a fresh user of the account, as the text of a NATS credentials file. It is secret."""
    user = Key.new(USER)
    limits = {"subs": NO_LIMIT, "data": NO_LIMIT, "payload": NO_LIMIT}
    jwt = account.sign(user.public, name, {**limits, **claims, "type": "user"}, expires=expires)
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


def job_credential(account: Key, *, kind: str, job_id: str, expires: datetime) -> str:
    """Return the credential of a job: it tells of itself, hears of itself, and nothing else."""
    tells = [fill(subject, kind=kind, job_id=job_id) for subject in TOLD_BY_JOBS]
    hears = [*(fill(subject, kind=kind, job_id=job_id) for subject in HEARD_BY_JOBS), f"{inbox(kind, job_id)}.>"]
    claims = {
        "pub": {"allow": tells},
        "sub": {"allow": hears},
        "subs": MOST_SUBSCRIPTIONS,
        "allowed_connection_types": ["STANDARD"],
    }
    return user_credential(account, f"{kind}-{job_id}", claims, expires=expires)


def inbox(kind: str, job_id: str) -> str:
    """Return the prefix of a job's inboxes."""
    return fill(INBOX, kind=kind, job_id=job_id)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
