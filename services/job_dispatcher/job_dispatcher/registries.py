"""Logins of registries, as Kubernetes takes them to pull the image of the builder. Pure."""

import base64
import json
from typing import Any

from estafette_common.jobs.plan import Plan
from estafette_common.manifest import trust
from estafette_common.manifest.secrets import decrypt_all

PULLING = "container-registry-pull"
"""Type of the credentials that the image of the builder is pulled with, too."""

DOCKER_HUB = "https://index.docker.io/v1/"
"""How Docker's `config.json` calls Docker Hub as a whole."""

HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io"}


def logins(plan: Plan, *, key: bytes) -> str:
    """Return a `config.json` with every credential of the plan that images are pulled with; empty where none is.

    Raises SecretError.
    """
    _, credentials = trust.of_plan(plan)
    found = {}
    for each in credentials:
        place, username, password = (
            _text(each.additional_properties.get(name), plan, key) for name in ("repository", "username", "password")
        )
        if each.type == PULLING and username and password:
            auth = base64.b64encode(f"{username}:{password}".encode()).decode()
            found[server(place)] = {"username": username, "password": password, "auth": auth}
    return json.dumps({"auths": found}) if found else ""


def server(place: str) -> str:
    """Return what `config.json` calls a registry, or a part of one: `gcr.io/acme`, or `acme` at the Hub."""
    first, _, rest = place.strip("/").partition("/")
    if not first or (first in HUB_NAMES and not rest):
        return DOCKER_HUB
    if first in HUB_NAMES:
        return f"docker.io/{rest}"
    is_host = "." in first or ":" in first or first == "localhost"
    return place.strip("/") if is_host else f"docker.io/{place.strip('/')}"


def _text(value: Any, plan: Plan, key: bytes) -> str:
    return decrypt_all(value, key=key, pipeline=plan.repository.pipeline) if isinstance(value, str) else ""
