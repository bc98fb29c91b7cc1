"""The sample project that the demo pushes, and GitHub's own sample of a push."""

import json
from pathlib import Path
from typing import Any

from estafette_common.manifest import secrets

LOCAL = Path(__file__).parents[1]
PROJECT = LOCAL / "sample"
WEBHOOKS = LOCAL / "forge/node_modules/@octokit/webhooks-examples/api.github.com/index.json"

IMAGE = "busybox:latest"
"""Of every stage of the sample."""

TOKEN = "s3cr3t-t0ken-of-the-registry"  # noqa: S105  made up; the demo shows that it is never shown
PLACEHOLDER = "THE-SECRET"


def project(secret_key: str) -> dict[str, str]:
    """Return the files of the sample by path; the secret in its manifest is sealed with the server's key (base64)."""
    files = {str(path.relative_to(PROJECT)): path.read_text() for path in PROJECT.rglob("*") if path.is_file()}
    sealed = secrets.encrypt(TOKEN, key=secrets.parse_key(secret_key))
    files[".estafette.yaml"] = files[".estafette.yaml"].replace(PLACEHOLDER, sealed)
    return files


def push_payload() -> dict[str, Any]:
    """Return GitHub's sample of a push's payload. Raises FileNotFoundError when the samples are not installed."""
    events = json.loads(WEBHOOKS.read_text())
    [push] = [event for event in events if event["name"] == "push"]
    payload: dict[str, Any] = next(example for example in push["examples"] if not example["deleted"])
    return payload
