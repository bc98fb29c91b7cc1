"""Debian's docker-registry on loopback, which a Docker Engine trusts without TLS (127.0.0.0/8)."""

import json
import shutil
import subprocess
from pathlib import Path

from estafette_local.servers import ServerError, free_port, wait_for_port

PROGRAM = "docker-registry"

USERNAME = "ci"
PASSWORD = "hunter2-hunter2"  # noqa: S105  of a registry that lives as long as a test

HTPASSWD = "ci:$2y$05$zraQENOy5voiT9XBURlQbu6PYPq2RrUiFTl.grVZi8Oppdv01IBmS\n"
"""Name and password as `htpasswd -nbB` writes them."""


class Registry:
    """A registry that lets in who knows the password."""

    username = USERNAME
    password = PASSWORD

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """What its images begin with."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        program = shutil.which(PROGRAM)
        if program is None:
            raise ServerError(f"{PROGRAM} is not on PATH; apt-get install {PROGRAM}")
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords = self.folder / "htpasswd"
        passwords.write_text(HTPASSWD)
        file = self.folder / "config.yml"
        file.write_text(
            json.dumps(
                {
                    "version": 0.1,
                    "log": {"level": "warn"},
                    "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
                    "http": {"addr": self.host},
                    "auth": {"htpasswd": {"realm": "test", "path": str(passwords)}},
                }
            )
        )
        output = self.folder / "registry.log"
        with output.open("ab") as log:
            self._process = subprocess.Popen([program, "serve", str(file)], stdout=log, stderr=log)
        wait_for_port(self.port, self._process, output)

    def stop(self) -> None:
        """End it and wait until it is gone."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
