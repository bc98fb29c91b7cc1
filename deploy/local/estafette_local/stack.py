"""The whole system on this machine: servers, builder host and every service, started, watched, stopped."""

import asyncio
import http.client
import shutil
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg

from estafette_local import environment, leftovers
from estafette_local.builder_host import BuilderHost
from estafette_local.environment import SERVICES, Options, Places
from estafette_local.processes import Process, Spawn, program, tail_of
from estafette_local.servers import Membership, NatsServer, PostgresServer, ServerError, free_port

T = TypeVar("T")

UP_WITHIN = 180.0
"""Seconds until every service must be ready; a small machine starts a dozen Python processes at once."""

GIVE_UP_AFTER = 3
"""Ends of one process while the stack starts after which waiting for it is pointless."""

DRAIN_WITHIN = 8.0
"""Seconds that each group of services has to finish what is in hand."""

SOCKET_PATH_LIMIT = 107
"""Bytes of a unix socket's path on Linux (unix(7): sun_path)."""

DRAIN_ORDER = (
    ("webhook-ingress", "cron-sender", "hanging-job-cleaner"),
    ("manifest-planner", "job-dispatcher"),
    ("builder-host",),
    ("log-sink", "notifier", "api", "web"),
)
"""What brings work in ends first, what stores results last."""


class StackError(Exception):
    """The stack cannot run; the message names the process and shows the end of its log."""


class Stack:
    """The system with its data in one folder. Use as a context manager, or `start` and `stop` it; calls block.

    A process is named by its service and replica (from 0): the services of `environment.SERVICES`,
    `builder-host`, `nats` (as many as the options say) and `postgres`. With a `database_url` no PostgreSQL is started.
    """

    def __init__(self, data: Path, options: Options | None = None, *, database_url: str = "") -> None:
        self.data = data.absolute()
        self.options = options or Options()
        self.processes: dict[tuple[str, int], Process] = {}
        self._ports: dict[tuple[str, int], int] = {}
        self._external_database = database_url
        self._socket_folder: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- the whole ---

    def start(self) -> None:
        """Start everything and wait until all of it is ready. Raises StackError, with nothing left running."""
        for folder in ("logs", "jobs", "cache", "repositories"):
            (self.data / folder).mkdir(parents=True, exist_ok=True)
        try:
            self._lock = leftovers.occupy(self.data)
        except leftovers.Busy as busy:
            raise StackError(str(busy)) from None
        try:
            leftovers.end_processes(self.data)
            self._start_servers()
            self.places = self._settle_places()
            self._migrate()
            self._start_services()
            self._wait_until_ready(self.processes)
        except ServerError as error:
            self.stop()
            raise StackError(str(error)) from None
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything: drain in order, remove what jobs are left, then the servers. Nothing stays."""
        for group in DRAIN_ORDER:
            if group == ("builder-host",):
                self._remove_jobs()
            self._end([process for (service, _), process in self.processes.items() if service in group], SIGTERM)
        servers = [process for (service, _), process in self.processes.items() if service in ("postgres", "nats")]
        self._end(servers, SIGINT)
        leftovers.end_processes(self.data)
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None
        if hasattr(self, "_lock"):
            self._lock.close()

    # --- parts of it ---

    def url(self, service: str, replica: int = 0) -> str:
        """Return where a replica listens."""
        return f"http://127.0.0.1:{self._ports[service, replica]}"

    def addresses(self) -> dict[str, str]:
        """Return where everything listens, by `<service>` or `<service>-<replica>`."""
        found = {"nats": self.places.nats_url, "postgres": self.places.database_url}
        for service, replica in self._replicas():
            found[_label(service, replica, self.options)] = self.url(service, replica)
        found["builder-host"] = str(self.places.builder_socket)
        return found

    @property
    def webhook_secret(self) -> str:
        """What deliveries to webhook-ingress are signed with."""
        return self.options.webhook_secret or environment.kept_webhook_secret(self.data)

    @property
    def builder_host(self) -> BuilderHost:
        """The builder host, to ask for its jobs."""
        return BuilderHost(self.places.builder_socket)

    def pids(self, service: str) -> list[int]:
        """Return the ids of the running processes of a service."""
        found = [process.pid for (name, _), process in self.processes.items() if name == service]
        return [pid for pid in found if pid is not None]

    def kill(self, service: str, replica: int = 0, how: Signals = SIGKILL) -> None:
        """End a replica from outside. It is started again (unless that was switched off); see `wait_ready`."""
        process = self.processes[service, replica]
        if how == SIGKILL:
            process.kill()
        else:
            process.signal(how)

    def stop_one(self, service: str, replica: int = 0, how: Signals = SIGTERM) -> None:
        """End a replica in order and leave it ended."""
        self.processes[service, replica].stop(how, within=DRAIN_WITHIN)

    def start_one(self, service: str, replica: int = 0) -> None:
        """Start a replica that was ended by `stop_one`; returns when it is ready."""
        self.processes[service, replica].start()
        self.wait_ready(service, replica)

    def restart(self, service: str, replica: int = 0, *, python: Path | None = None) -> None:
        """Replace a replica, as an upgrade does; returns when the new one is ready.

        `python` is the interpreter of another build to go on with; none: that which runs this.
        """
        self.stop_one(service, replica)
        self._prepare(service, replica, python)
        self.start_one(service, replica)

    def wait_ready(self, service: str, replica: int = 0) -> None:
        """Wait until a replica is ready (again). Raises StackError."""
        self._wait_until_ready([(service, replica)])

    def is_ready(self, service: str, replica: int = 0) -> bool:
        """Return whether a replica does its work now."""
        if self.processes[service, replica].pid is None:
            return False
        if service == "builder-host":
            return self.builder_host.answers()
        if (service, replica) not in self._ports or service in ("nats", "postgres"):
            return True
        return _answers_ok(self._ports[service, replica], "/readiness")

    def explain(self, what: str, service: str, replica: int = 0) -> str:
        """Return an error message: what happened, and the end of the log that probably says why."""
        process = self.processes[service, replica]
        return f"{what}; {process.log} ends with:\n{process.tail()}"

    # --- how ---

    def _replicas(self) -> Iterator[tuple[str, int]]:
        for service in SERVICES:
            for replica in range(self.options.replicas_of(service)):
                yield service, replica

    def _start_servers(self) -> None:
        mark = {leftovers.MARK: str(self.data)}
        self.nats_accounts = self.data / "nats" / "accounts"
        servers = self._nats_servers(mark)
        self.nats_url = ",".join(server.url for server in servers)
        for replica, server in enumerate(servers):
            self._launch("nats", replica, _Server(server).spawn, log=server.folder / "nats-server.log")
        if not self._external_database:
            postgres = PostgresServer(self.data / "postgres", port=self._port("postgres"), environment=mark)
            self._launch("postgres", 0, _Server(postgres).spawn, log=postgres.log)
            _run(_create_database(postgres, "estafette"))
            self.database_url = postgres.url("estafette")
        else:
            self.database_url = self._external_database

    def _nats_servers(self, mark: dict[str, str]) -> list[NatsServer]:
        count = self.options.nats_servers
        if count == 1:
            folder, port = self.data / "nats", self._port("nats")
            return [NatsServer(folder, port=port, environment=mark, accounts=self.nats_accounts)]
        ports = [self._port("nats cluster", replica) for replica in range(count)]
        return [
            NatsServer(
                self.data / "nats" / str(replica),
                port=self._port("nats", replica),
                environment=mark,
                accounts=self.nats_accounts,
                cluster=Membership(name=f"nats-{replica}", port=own, others=tuple({*ports} - {own})),
            )
            for replica, own in enumerate(ports)
        ]

    def _settle_places(self) -> Places:
        for service, replica in self._replicas():
            self._port(service, replica)
        socket = self.data / "builder.sock"
        if len(str(socket).encode()) > SOCKET_PATH_LIMIT:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="estafette-"))
            socket = self._socket_folder / "builder.sock"
        return Places(
            data=self.data,
            nats_url=self.nats_url,
            nats_accounts=self.nats_accounts,
            database_url=self.database_url,
            api_url=self._url_or_nowhere("api"),
            server_url=self._url_or_nowhere("web"),
            builder_socket=socket,
        )

    def _port(self, service: str, replica: int = 0) -> int:
        if (service, replica) not in self._ports:
            first = self.options.ports.get(service) if replica == 0 else None
            wanted = self.options.ports.get(f"{service}-{replica}", first)
            port = wanted or free_port()
            while not wanted and port in self._ports.values():
                port = free_port()
            self._ports[service, replica] = port
        return self._ports[service, replica]

    def _url_or_nowhere(self, service: str) -> str:
        return self.url(service) if (service, 0) in self._ports else "http://127.0.0.1:1"

    def _migrate(self) -> None:
        log = self.data / "logs" / "migrations.log"
        with log.open("ab") as output:
            done = subprocess.run(
                environment.command("estafette_common.database"),
                env=environment.of_service(self.places, self.options, "migrations"),
                cwd=self.data,
                stdout=output,
                stderr=output,
                check=False,
            )
        if done.returncode != 0:
            tail = tail_of(log)
            raise StackError(f"the database could not be brought up to date; {log} ends with:\n{tail}")

    def _start_services(self) -> None:
        if self.options.replicas_of("builder-host"):
            self._prepare("builder-host", 0, None)
            self.processes["builder-host", 0].start()
        for service, replica in self._replicas():
            self._prepare(service, replica, None)
            self.processes[service, replica].start()

    def _prepare(self, service: str, replica: int, python: Path | None) -> None:
        """Say how a replica is started from now on."""
        log = self.data / "logs" / f"{_label(service, replica, self.options)}.log"
        if service == "builder-host":
            arguments, port = environment.command("builder", "host", python=python), None
        else:
            own = environment.command(SERVICES[service], python=python)
            replaced = self.options.commands.get(service) if python is None else None
            arguments, port = [*(replaced or own)], self._ports[service, replica]
        own_environment = environment.of_service(self.places, self.options, service, replica, port)
        spawn = program(arguments, environment=own_environment, folder=self.data, log=log)
        self._keep(service, replica, spawn, log=log)

    def _launch(self, service: str, replica: int, spawn: Spawn, *, log: Path) -> None:
        self._keep(service, replica, spawn, log=log)
        self.processes[service, replica].start()

    def _keep(self, service: str, replica: int, spawn: Spawn, *, log: Path) -> None:
        name = _label(service, replica, self.options)
        self.processes[service, replica] = Process(name, spawn, log=log, keep_running=self.options.keep_running)

    def _wait_until_ready(self, wanted: Iterable[tuple[str, int]]) -> None:
        missing = list(wanted)
        ends_before = {name: self.processes[name].ends for name in missing}
        deadline = time.monotonic() + UP_WITHIN
        while True:
            missing = [name for name in missing if not self.is_ready(*name)]
            if not missing:
                return
            for name in missing:
                process = self.processes[name]
                ends = process.ends - ends_before[name]
                gone = process.pid is None and not self.options.keep_running
                if gone or ends >= GIVE_UP_AFTER or time.monotonic() > deadline:
                    why = "does not become ready" if ends == 0 and not gone else "ends again and again"
                    raise StackError(self.explain(f"{process.name} {why}", *name))
            time.sleep(0.05)

    def _remove_jobs(self) -> None:
        if ("builder-host", 0) in self.processes:
            with suppress(OSError, ValueError):
                self.builder_host.remove_all()

    def _end(self, processes: list[Process], how: Signals) -> None:
        for process in processes:
            process.ask_to_stop(how)
        until = time.monotonic() + DRAIN_WITHIN
        for process in processes:
            process.wait(until=until)


class _Server:
    """A server as something to keep running."""

    def __init__(self, server: NatsServer | PostgresServer) -> None:
        self._server = server

    def spawn(self) -> "subprocess.Popen[bytes]":
        self._server.start()
        assert self._server.process is not None  # noqa: S101  start has set it
        return self._server.process


def _label(service: str, replica: int, options: Options) -> str:
    """Return the name in logs: the service, with a number only where there are several."""
    return f"{service}-{replica}" if options.replicas_of(service) > 1 and service in SERVICES else service


def _answers_ok(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def _create_database(server: PostgresServer, name: str) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own, also when this thread has one running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
