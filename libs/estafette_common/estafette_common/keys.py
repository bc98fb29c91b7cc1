"""`python -m estafette_common.keys`: make the keys of an installation in Kubernetes, each once.

Every Secret named is created with random keys when it is not there. What is there stays, whatever becomes of the
release that it was made for: a key that changed would leave unreadable what was sealed with it.
"""

import asyncio
import base64
import secrets
import string
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from kubernetes_asyncio import client, config

from estafette_common import telemetry
from estafette_common.bus import accounts

log = structlog.get_logger()

ALPHABET = string.ascii_letters + string.digits

CIPHER_KEY_BYTES = (16, 24, 32)
"""Of AES."""

MANIFESTS_KEY = "secretDecryptionKey"
"""As people know it from Estafette CI, who back it up by this name: the bytes themselves."""

MANIFESTS_SETTING = "secretKey"
"""The same in base64, as the services are told it."""

Keys = dict[str, str]
Maker = Callable[[Mapping[str, str]], Keys]


class KeyRefusedError(Exception):
    """A key that was given cannot be used; the message says which, and why. It never holds the key."""


def manifests(known: Mapping[str, str]) -> Keys:
    """Return the key of the secrets in manifests, as text and in base64. Raises KeyRefusedError."""
    key = known.get(MANIFESTS_KEY) or _random(32)
    if len(key.encode()) not in CIPHER_KEY_BYTES:
        raise KeyRefusedError(f"{MANIFESTS_KEY} has {len(key.encode())} bytes; 16, 24 or 32 make a key")
    return {MANIFESTS_KEY: key, MANIFESTS_SETTING: base64.b64encode(key.encode()).decode()}


def webhooks(known: Mapping[str, str]) -> Keys:
    """Return what the forge signs webhooks with."""
    return {"webhookSecret": known.get("webhookSecret") or _random(40)}


def nats(known: Mapping[str, str]) -> Keys:
    """Return the accounts of NATS, see `accounts`, and what its servers let each other in with.

    The accounts are made together or not at all: the files of one call fit those of no other.
    """
    if accounts.CONFIGURATION in known:
        return {"routePassword": _random(40), **known}
    with tempfile.TemporaryDirectory() as folder:
        accounts.make(Path(folder))
        made = {file.name: file.read_text() for file in Path(folder).iterdir()}
    return {**made, "routePassword": _random(40)}


def database(known: Mapping[str, str]) -> Keys:
    """Return the passwords of PostgreSQL. They stand in an address: letters and digits only."""
    return {"password": _random(40), "replicationPassword": _random(40), **known}


MAKERS: Mapping[str, Maker] = {"manifests": manifests, "webhooks": webhooks, "nats": nats, "database": database}
"""By the option that names the Secret."""


def _random(length: int) -> str:
    """Return random letters and digits, the first a letter: NATS' configuration takes other text for numbers."""
    return secrets.choice(string.ascii_letters) + "".join(secrets.choice(ALPHABET) for _ in range(length - 1))


async def make(core: client.CoreV1Api, options: Namespace, given: Mapping[str, str]) -> None:
    """Create the Secrets that are missing, and complete those that lack a key."""
    for option, maker in MAKERS.items():
        if name := getattr(options, option):
            await _make_one(core, options, name, maker, given)


async def _make_one(
    core: client.CoreV1Api, options: Namespace, name: str, maker: Maker, given: Mapping[str, str]
) -> None:
    try:
        found = await core.read_namespaced_secret(name, options.namespace)
    except client.ApiException as error:
        if error.status != 404:
            raise
        labels = {"app.kubernetes.io/instance": options.release, "app.kubernetes.io/part-of": "estafette-ci"}
        body: Any = {"metadata": {"name": name, "labels": labels}, "stringData": maker(given)}
        await core.create_namespaced_secret(options.namespace, body)
        log.info("keys made", secret=name)
        return
    have = {key: base64.b64decode(value).decode() for key, value in (found.data or {}).items()}
    missing = {key: value for key, value in maker(have).items() if key not in have}
    if missing:
        await core.patch_namespaced_secret(name, options.namespace, {"stringData": missing})
    log.info("keys are there", secret=name, added=sorted(missing))


def _given(folder: Path) -> dict[str, str]:
    """Return what the files of a mounted Secret hold, by name; empty ones are not there."""
    files = (file for file in folder.iterdir() if file.is_file())
    return {file.name: text for file in files if (text := file.read_text())}


def _options() -> Namespace:
    parser = ArgumentParser(
        prog="python -m estafette_common.keys", description="Make the keys of an installation, once."
    )
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--release", required=True, help="what the Secrets are labelled with")
    parser.add_argument("--given", type=Path, required=True, help="folder with the keys that are given")
    for option in MAKERS:
        parser.add_argument(f"--{option}", default="", help=f"name of the Secret with the keys of {option}")
    return parser.parse_args()


async def _run(options: Namespace) -> None:
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # it has no hints
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        await make(client.CoreV1Api(api), options, _given(options.given))


if __name__ == "__main__":
    telemetry.configure(service="keys")
    asyncio.run(_run(_options()))
