"""pytest fixtures: real servers on free ports, a fresh database and a fresh JetStream for each test that asks."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from estafette_common.database.migrating import migrate

from estafette_local.servers import NatsServer, PostgresServer


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder whose path is short: that of a socket in it may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="estafette-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    """An empty nats-server of this test's own; it may kill and restart it."""
    folder = Path(tempfile.mkdtemp(prefix="estafette-nats-"))
    server = NatsServer(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def guarded_nats_server() -> Iterator[NatsServer]:
    """An empty nats-server with accounts, of this test's own; nobody gets in without a credential."""
    folder = Path(tempfile.mkdtemp(prefix="estafette-nats-"))
    server = NatsServer(folder, guarded=True)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests."""
    folder = Path(tempfile.mkdtemp(prefix="estafette-postgres-"))
    folder.chmod(0o755)
    server = PostgresServer(folder / "data")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def migrated_template(postgres_server: PostgresServer) -> str:
    """A database with the current schema, to copy from."""
    await _execute(postgres_server, "CREATE DATABASE template_migrated")
    await migrate(postgres_server.url("template_migrated"))
    return "template_migrated"


@pytest.fixture
async def database_url(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[str]:
    """An empty database with the current schema, of this test's own."""
    name = f"test_{uuid4().hex}"
    await _execute(postgres_server, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    yield postgres_server.url(name)
    await _execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
