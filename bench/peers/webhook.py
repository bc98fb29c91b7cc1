"""Debian's `webhook`, which checks the signature and rules of the payload, and stores and starts nothing."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from estafette_local.servers import free_port

from bench.peers.processes import running
from bench.peers.pushes import SECRET, send

HOOKS = [{
    "id": "github", "execute-command": "/bin/true", "trigger-rule": {"and": [
        {"match": {"type": "payload-hmac-sha256", "secret": SECRET,
            "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}},
        {"match": {"type": "value", "value": "refs/heads/nowhere", "parameter": {"source": "payload", "name": "ref"}}},
    ]},
}]  # fmt: skip
"""The second rule never holds: what a webhook costs is looked at, not what a process costs."""


@dataclass
class Webhook:
    """Debian's `webhook`."""

    session: aiohttp.ClientSession
    url: str

    async def hook(self, body: bytes) -> None:
        await send(self.session, f"{self.url}/hooks/github", body)


@contextmanager
def webhook(folder: Path) -> Iterator[str]:
    """Run it; gives its address."""
    if shutil.which("webhook") is None:
        sys.exit("webhook is missing: apt-get install webhook")
    port = free_port()
    (folder / "hooks.json").write_text(json.dumps(HOOKS))
    command = ("webhook", "-hooks", str(folder / "hooks.json"), "-ip", "127.0.0.1", "-port", str(port))
    with running(*command, folder=folder, log=folder / "webhook.log"):
        yield f"http://127.0.0.1:{port}"


def version() -> str:
    """Return the version that is installed."""
    return subprocess.run(["webhook", "-version"], capture_output=True, text=True, check=False).stdout.split()[-1]
