"""Real servers on loopback: nats-server with JetStream and PostgreSQL, each in a folder of its own."""

import hashlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from estafette_common.bus import accounts

STARTS_WITHIN = 60.0
"""Seconds a server may take until it answers."""


LISTENING_PORTS = range(18_000, 32_000)
"""Below the range that Linux takes for outgoing connections: a server that is restarted finds its port still free."""


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on now."""
    while True:
        port = random.choice(LISTENING_PORTS)  # noqa: S311  spreads, does not protect
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class ServerError(Exception):
    """A server did not start; the message says what it printed or what is missing."""


MOST_STORED = 1024**4
"""Bytes that JetStream may keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A server's place in a cluster of NATS servers on this machine. Clients learn of no server but those they name."""

    name: str
    port: int
    """Where the others reach it."""
    others: tuple[int, ...]
    """Such ports of the other servers."""

    def lines(self) -> list[str]:
        """Return what the server's configuration says of it."""
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self.others)
        own = f"listen: 127.0.0.1:{self.port}, no_advertise: true"
        return [f"server_name: {self.name}", f"cluster {{ name: estafette, {own}, routes: [{routes}] }}"]


class NatsServer:
    """A nats-server with JetStream. May be killed and started again on the same port and store.

    With `guarded`, it has the accounts of a real installation and lets nobody in without a credential; the servers
    of a cluster share theirs, in the folder `accounts`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        guarded: bool = False,
        accounts: Path | None = None,
        cluster: Membership | None = None,
        most_stored: int = MOST_STORED,
    ) -> None:
        self.folder = folder
        self.most_stored = most_stored
        self.accounts = accounts or (folder / "accounts" if guarded else None)
        self._cluster = cluster
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = dict(environment or {})

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        program = shutil.which("nats-server")
        if program is None:
            raise ServerError("nats-server is not on PATH; `make setup` installs it")
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "nats-server.conf"
        configuration.write_text(self._configuration())
        arguments = ["-a", "127.0.0.1", "-p", str(self.port), "-c", str(configuration)]
        output = self.folder / "nats-server.log"
        with output.open("ab") as log:
            self.process = subprocess.Popen(
                [program, *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self._environment},
            )
        wait_for_port(self.port, self.process, output)

    def _configuration(self) -> str:
        """Return the configuration. The store may grow beyond what the disk has now: streams reserve their room."""
        lines = [f'jetstream {{ store_dir: "{self.folder}", max_file_store: {self.most_stored} }}']
        if self.accounts is not None:
            accounts.make(self.accounts)
            lines.append(f"include {os.path.relpath(self.accounts, self.folder)}/{accounts.CONFIGURATION}")
        if self._cluster is not None:
            lines += self._cluster.lines()
        return "".join(f"{line}\n" for line in lines)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it by the signal and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None


class PostgresServer:
    """A PostgreSQL cluster. As root it runs as the user `postgres`, for PostgreSQL refuses root."""

    def __init__(self, folder: Path, *, port: int | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = dict(environment or {})
        self._account = "postgres" if os.geteuid() == 0 else None

    @property
    def log(self) -> Path:
        """What it prints."""
        return self._data_folder() / "postgres.log"

    def url(self, database: str) -> str:
        """Where clients find a database of it."""
        return f"postgresql://estafette@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Create the cluster if there is none, start it and wait until it takes connections."""
        data = self._data_folder()
        if not (data / "PG_VERSION").exists():
            self._run("initdb", "-D", str(data), "-U", "estafette", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        (data / "postmaster.pid").unlink(missing_ok=True)
        output = self.log
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        with output.open("ab") as log:
            self.process = subprocess.Popen(
                [_postgres_program("postgres"), "-D", str(data), *(f"--{k}={v}" for k, v in options.items())],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                env={**os.environ, **self._environment},
                user=self._account,
                group=self._account,
                extra_groups=[] if self._account else None,
            )
        wait_for_port(self.port, self.process, output)
        self._wait_until_recovered(output)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it (SIGINT: roll back what runs and stop at once, in order) and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    def _wait_until_recovered(self, output: Path) -> None:
        """Wait until it lets clients in: the port is open before that, longer after it was killed."""
        deadline = time.monotonic() + STARTS_WITHIN
        ask = [_postgres_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "estafette"]
        while subprocess.run(ask, check=False).returncode != 0:
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL did not start: {output.read_text()[-2000:]}")
            time.sleep(0.05)

    def _data_folder(self) -> Path:
        """Return the folder of the cluster, one that the account can reach."""
        folder = self.folder.absolute()
        if self._account is not None and not all(
            parent.stat().st_mode & 0o001 for parent in folder.parents if parent.exists()
        ):
            digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
            folder = Path("/var/tmp") / f"estafette-postgres-{digest}"  # noqa: S108  ours alone by its owner and mode
        folder.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            account = pwd.getpwnam(self._account)
            os.chown(folder, account.pw_uid, account.pw_gid)
        folder.chmod(0o700)
        return folder

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [_postgres_program(program), *arguments],
            capture_output=True,
            cwd="/",
            check=False,
            user=self._account,
            group=self._account,
            extra_groups=[] if self._account else None,
        )
        if done.returncode != 0:
            raise ServerError(f"{program} failed: {done.stderr.decode(errors='replace').strip()}")


def _postgres_program(name: str) -> str:
    """Return the path of a PostgreSQL program: Debian keeps the server's off PATH, by version."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which(name)
    if found is None:
        raise ServerError(f"PostgreSQL's {name} is not installed; `make setup` installs it")
    return found


def wait_for_port(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    """Return once a process listens on a port of loopback; ServerError with its output when it does not."""
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"{process.args!r} did not start: {output.read_text()[-2000:]}") from None
            time.sleep(0.01)
        else:
            return
