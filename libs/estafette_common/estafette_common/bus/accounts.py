"""`python -m estafette_common.bus.accounts FOLDER`: make the accounts of a NATS server, once.

The services' account has JetStream. That of the jobs has none, and shares just the subjects that jobs tell and hear. In
one account, a job could have JetStream's answer to a message go to `$JS.API.STREAM.PURGE.…` and so empty a stream: the
server checks where a message goes, not where its answer does.

The folder holds `nats.conf` for the server, `services.creds` for the services and `jobs.seed` for job-dispatcher, which
signs the credentials of jobs with it. The operator's key is forgotten: accounts are changed by making all of them anew.
"""

import os
import sys
from pathlib import Path
from typing import Any

from estafette_common.bus.credentials import (
    ACCOUNT,
    HEARD_BY_JOBS,
    NO_LIMIT,
    OPERATOR,
    TOLD_BY_JOBS,
    Key,
    user_credential,
)
from estafette_common.bus.subjects import pattern

CONFIGURATION = "nats.conf"
SERVICES_CREDENTIAL = "services.creds"
JOBS_SEED = "jobs.seed"

LIMITS = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), NO_LIMIT)
JETSTREAM_LIMITS = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), NO_LIMIT)


def make(folder: Path) -> None:
    """Make the accounts in a folder; one that has them already is left as it is."""
    if (folder / CONFIGURATION).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    operator, system, services, jobs = Key.new(OPERATOR), *(Key.new(ACCOUNT) for _ in range(3))
    _write(folder / SERVICES_CREDENTIAL, user_credential(services, "services", {}), mode=0o600)
    _write(folder / JOBS_SEED, f"{jobs.seed}\n", mode=0o600)
    accounts = {
        system.public: _account(operator, system, "SYSTEM"),
        services.public: _account(operator, services, "SERVICES", limits=JETSTREAM_LIMITS, exports=_exports()),
        jobs.public: _account(operator, jobs, "JOBS", imports=_imports(services.public)),
    }
    claims = {"type": "operator", "system_account": system.public}
    lines = [
        f"operator: {operator.sign(operator.public, 'estafette', claims)}",
        f"system_account: {system.public}",
        "resolver: MEMORY",
        "resolver_preload: {",
        *(f"  {public}: {jwt}" for public, jwt in accounts.items()),
        "}",
    ]
    _write(folder / CONFIGURATION, "".join(f"{line}\n" for line in lines), mode=0o644)  # last: it says all are there


def _account(
    operator: Key,
    account: Key,
    name: str,
    *,
    limits: dict[str, int] | None = None,
    exports: list[dict[str, Any]] | None = None,
    imports: list[dict[str, Any]] | None = None,
) -> str:
    claims = {
        "type": "account",
        "limits": {**LIMITS, "wildcards": True, **(limits or {})},
        "default_permissions": {"pub": {}, "sub": {}},
        "exports": exports or [],
        "imports": imports or [],
    }
    return operator.sign(account.public, name, claims)


def _exports() -> list[dict[str, Any]]:
    """Return what the services' account shares. A job is answered by JetStream, as a caller by a service."""
    return [
        *({**_share(each, "service"), "response_type": "Singleton"} for each in TOLD_BY_JOBS),
        *(_share(each, "stream") for each in HEARD_BY_JOBS),
    ]


def _imports(account: str) -> list[dict[str, Any]]:
    return [
        *({**_share(each, "service"), "account": account} for each in TOLD_BY_JOBS),
        *({**_share(each, "stream"), "account": account} for each in HEARD_BY_JOBS),
    ]


def _share(template: str, how: str) -> dict[str, str]:
    return {"name": template, "subject": pattern(template), "type": how}


def _write(file: Path, text: str, *, mode: int) -> None:
    """Write the file whole or not at all, for nobody to read who may not."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as output:
        output.write(text)
    fresh.rename(file)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
