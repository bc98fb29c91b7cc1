"""A machine with a builder host, for the dispatcher to start jobs on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_local.servers import NatsServer


class Host:
    """The real builder host; away until `start`."""

    def __init__(self, folder: Path, nats_url: str) -> None:
        self.socket = folder / "host.sock"
        self.runtime = LocalRuntime(self.socket)
        self._folder = folder
        self._nats_url = nats_url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")},
            "ESTAFETTE_NATS_URL": self._nats_url,
            "ESTAFETTE_LOCAL_SOCKET": str(self.socket),
            "ESTAFETTE_JOBS_DIR": str(self._folder / "jobs"),
            "ESTAFETTE_STAGE_RUNTIME": "process",
        }
        with (self._folder / "host.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "builder", "host"], env=environment, stdout=output, stderr=output
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()

    async def jobs(self) -> list[str]:
        """Return the names of its jobs."""
        return [job.name for job in await self.runtime.jobs()]

    async def remove_all(self) -> None:
        if self._process is not None and self._process.poll() is None:
            for name in await self.jobs():
                await self.runtime.remove(name)


@pytest.fixture
def host(nats_server: NatsServer) -> Iterator[Host]:
    folder = Path(tempfile.mkdtemp(prefix="estafette-"))
    host = Host(folder, nats_server.url)
    yield host
    host.stop()
    shutil.rmtree(folder, ignore_errors=True)
