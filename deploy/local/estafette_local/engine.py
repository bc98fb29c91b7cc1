"""Whether stages can run in containers here: asks the Docker Engine over its socket."""

import http.client
import os
import socket
from pathlib import Path

SOCKET = "/var/run/docker.sock"

ANSWERS_WITHIN = 3.0
"""Seconds for a plain question."""

PULLED_WITHIN = 60.0
"""Seconds without a word of progress after which a pull is given up."""


class Engine:
    """The Docker Engine of this machine; `DOCKER_HOST` names another socket."""

    def __init__(self, path: str = "") -> None:
        named = os.environ.get("DOCKER_HOST", "")
        self._path = path or (named.removeprefix("unix://") if named.startswith("unix://") else SOCKET)

    def can_run(self, image: str) -> str:
        """Return why containers of the image cannot run here; nothing when they can. Pulls the image when missing."""
        if not Path(self._path).exists():
            return f"there is no Docker Engine at {self._path}"
        try:
            if self._status("GET", "/_ping") != 200:
                return "the Docker Engine does not answer as expected"
            if self._status("GET", f"/images/{image}/json") == 200:
                return ""
            name, _, tag = image.partition(":")
            self._status("POST", f"/images/create?fromImage={name}&tag={tag}", within=PULLED_WITHIN)
            found = self._status("GET", f"/images/{image}/json") == 200
        except (OSError, http.client.HTTPException) as error:
            return f"the Docker Engine cannot be asked: {error}"
        return "" if found else f"the Docker Engine has no image {image} and cannot pull it"

    def _status(self, method: str, path: str, *, within: float = ANSWERS_WITHIN) -> int:
        connection = _UnixConnection(self._path, within)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
