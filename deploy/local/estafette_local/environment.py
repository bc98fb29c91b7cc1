"""What each program of the system is told: one table of settings, as environment variables."""

import base64
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from estafette_common.bus import accounts

from estafette_local.leftovers import MARK

SERVICES: dict[str, str] = {
    "log-sink": "log_sink",
    "manifest-planner": "manifest_planner",
    "job-dispatcher": "job_dispatcher",
    "notifier": "notifier",
    "hanging-job-cleaner": "hanging_job_cleaner",
    "cron-sender": "cron_sender",
    "api": "api",
    "web": "web",
    "webhook-ingress": "webhook_ingress",
}
"""Name and package of every service that speaks HTTP, in the order they are started."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be chosen for a stack. Every value has a default that works offline, without any forge."""

    replicas: Mapping[str, int] = field(default_factory=dict)
    """Processes of a service by its name; `*` stands for those not named. Default: 1 each."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Port by service (the first replica's) or `<service>-<replica>`; also `nats`, `postgres`. Free ones otherwise."""
    nats_servers: int = 1
    """1, or 3 for a cluster"""
    stage_runtime: str = "process"
    """`docker` or `process`"""
    webhook_secret: str = ""
    """Shared with the forge; empty: made once and kept in the data folder."""
    github_api_url: str = "http://127.0.0.1:1"
    """By default nowhere: a local stack must not reach out unasked."""
    github_token: str = ""
    manifest_source: str = "git"
    """`github` (contents API) or `git` (clone)"""
    clone_url: str = ""
    """Template with {source}, {owner} and {name}; empty: bare repositories below `<data>/repositories`."""
    log_level: str = "info"
    keep_running: bool = True
    """Start a process again when it ends unasked."""
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """More environment variables by service (also `builder-host`) or `<service>-<replica>`; `*` for all.

    They win over the table.
    """
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What to run instead of a service, by its name."""

    def replicas_of(self, service: str) -> int:
        """Return how many processes of the service to run."""
        return self.replicas.get(service, self.replicas.get("*", 1))


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the parts of one stack are."""

    data: Path
    nats_url: str
    nats_accounts: Path
    """Folder of what `estafette_common.bus.accounts` makes."""
    database_url: str
    api_url: str
    server_url: str
    builder_socket: Path

    @property
    def nats_credentials(self) -> Path:
        """The credentials file of the services, which open every door of NATS."""
        return self.nats_accounts / accounts.SERVICES_CREDENTIAL

    @property
    def repositories(self) -> Path:
        """Bare git repositories by owner, for the default clone URL."""
        return self.data / "repositories"


def table(places: Places, options: Options) -> dict[str, str]:
    """Return the settings that all programs of the stack share; each reads those it knows."""
    return {
        "ESTAFETTE_NATS_URL": places.nats_url,
        "ESTAFETTE_NATS_CREDENTIALS": str(places.nats_credentials),
        "ESTAFETTE_NATS_JOBS_SEED_FILE": str(places.nats_accounts / accounts.JOBS_SEED),
        "ESTAFETTE_DATABASE_URL": places.database_url,
        "ESTAFETTE_HOST": "127.0.0.1",
        "ESTAFETTE_LOG_LEVEL": options.log_level,
        "ESTAFETTE_SHUTDOWN_GRACE": "5",
        "ESTAFETTE_SECRET_KEY": kept_secret_key(places.data),
        "ESTAFETTE_GITHUB_WEBHOOK_SECRET": options.webhook_secret or kept_webhook_secret(places.data),
        "ESTAFETTE_GITHUB_API_URL": options.github_api_url,
        "ESTAFETTE_GITHUB_TOKEN": options.github_token,
        "ESTAFETTE_MANIFEST_SOURCE": options.manifest_source,
        "ESTAFETTE_CLONE_URL": options.clone_url or f"file://{places.repositories}/{{owner}}/{{name}}.git",
        "ESTAFETTE_SERVER_URL": places.server_url,
        "ESTAFETTE_API_URL": places.api_url,
        "ESTAFETTE_RUNTIME": "local",
        "ESTAFETTE_LOCAL_SOCKET": str(places.builder_socket),
        "ESTAFETTE_JOBS_DIR": str(places.data / "jobs"),
        "ESTAFETTE_STAGE_RUNTIME": options.stage_runtime,
    }


def of_service(
    places: Places, options: Options, service: str, replica: int = 0, port: int | None = None
) -> dict[str, str]:
    """Return the whole environment of one process: this one's without foreign settings, the table, what is its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
    own = {"ESTAFETTE_CACHE_DIR": str(places.data / "cache" / f"{service}-{replica}")}
    if port is not None:
        own["ESTAFETTE_PORT"] = str(port)
    extra: dict[str, str] = {}
    for whose in ("*", service, f"{service}-{replica}"):
        extra |= options.settings.get(whose, {})
    return {**inherited, MARK: str(places.data), **table(places, options), **own, **extra}


def command(module: str, *arguments: str, python: Path | None = None) -> list[str]:
    """Return the command that runs a Python program of ours; -P keeps the working folder off its import path.

    `python` is the interpreter of another installation.
    """
    return [str(python or sys.executable), "-P", "-m", module, *arguments]


def kept_secret_key(data: Path) -> str:
    """Return this installation's key for secrets, base64 of 32 bytes; made at the first call."""
    return _kept(data / "secret.key", base64.b64encode(secrets.token_bytes(32)).decode())


def kept_webhook_secret(data: Path) -> str:
    """Return the secret that webhooks are signed with; made at the first call."""
    return _kept(data / "webhook.secret", secrets.token_hex(20))


def _kept(file: Path, fresh: str) -> str:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text().strip()
    with os.fdopen(descriptor, "w") as output:
        output.write(fresh + "\n")
    return fresh
