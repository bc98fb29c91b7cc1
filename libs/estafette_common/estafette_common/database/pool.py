"""Connections to PostgreSQL or CockroachDB."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar, cast

import asyncpg
import msgspec
import structlog

log = structlog.get_logger()

T = TypeVar("T")

ATTEMPTS = 8
"""Tries of a transaction that the database asks to repeat, or whose connection broke before it ended."""

RETRIED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a statement raises while the database is away; a server that shuts down says so in many ways."""

CONNECT_EVERY = 0.5
"""Seconds between two tries to reach the database at the start."""


class Database:
    """A pool of connections. Usable after `start`, which waits for the database."""

    def __init__(self, url: str, *, connections: int = 5) -> None:
        self._url = url
        self._connections = connections
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @property
    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """The connections; ConnectionError until the database was there once."""
        if self._pool is None:
            raise ConnectionError("the database has not been reached yet")
        return self._pool

    async def start(self) -> None:
        """Connect; waits until the database is there."""
        while True:
            try:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=1,
                    max_size=self._connections,
                    init=_prepare,
                    reset=_as_it_is,
                    command_timeout=30,
                )
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError) as error:
                log.warning("database is not there yet", error=repr(error))
                await asyncio.sleep(CONNECT_EVERY)
            else:
                return

    async def stop(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()

    async def ready(self) -> bool:
        """Return whether the database answers."""
        return bool(await self.pool.fetchval("SELECT true"))

    async def transact(
        self, work: Callable[[asyncpg.Connection], Awaitable[T]], *, isolation: Literal["serializable"] | None = None
    ) -> T:
        """Run `work` in a transaction; again as a whole when the database asks for that (SQLSTATE 40001)."""
        for attempt in range(1, ATTEMPTS + 1):
            async with self.pool.acquire() as connection:
                try:
                    async with connection.transaction(isolation=isolation):
                        return await work(cast("asyncpg.Connection[asyncpg.Record]", connection))
                except RETRIED:
                    if attempt == ATTEMPTS:
                        raise
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311  spreads, does not protect
        raise AssertionError("unreachable")


async def _prepare(connection: asyncpg.Connection) -> None:
    """Let JSONB columns take and give Python values."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
    )


async def _as_it_is(connection: asyncpg.Connection) -> None:
    """Leave a connection that is given back as it is: nobody changes its settings, and asking costs a round trip."""
