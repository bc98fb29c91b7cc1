import asyncio
from uuid import uuid4

import asyncpg
from estafette_common.database.migrating import known, migrate
from estafette_local.servers import PostgresServer


async def test_migrating_twice_changes_nothing_the_second_time(database_url: str) -> None:
    assert await migrate(database_url) == []


async def test_several_migrations_at_once_apply_each_file_once(postgres_server: PostgresServer) -> None:
    name = f"test_{uuid4().hex}"
    connection = await asyncpg.connect(postgres_server.url("postgres"))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()

    applied = await asyncio.gather(*(migrate(postgres_server.url(name)) for _ in range(4)))

    assert sorted(name for names in applied for name in names) == [migration.name for migration in known()]
