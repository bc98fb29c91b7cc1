"""Bringing the schema up to date: numbered SQL files, each applied once and in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

import asyncpg
import structlog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Migration:
    """A step of the schema. Expand first, contract a release later: old and new services share one schema."""

    name: str
    sql: str

    @property
    def digest(self) -> str:
        """What the file held when it was applied."""
        return sha256(self.sql.encode()).hexdigest()


class MigrationError(Exception):
    """The files and the database disagree about the past."""


def known() -> list[Migration]:
    """Return the migrations of this version, oldest first."""
    folder = files("estafette_common.database") / "migrations"
    found = [Migration(entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted(found, key=lambda migration: migration.name)


async def migrate(url: str) -> list[str]:
    """Apply what is missing and return its names. Several at once are harmless: one works, the others wait.

    Raises MigrationError when an applied migration was changed.
    """
    connection = await asyncpg.connect(url)
    try:
        await _make_ledger(connection)
        return await _apply(connection, known())
    finally:
        await connection.close()


async def _make_ledger(connection: asyncpg.Connection) -> None:
    """Create the table of applied migrations; IF NOT EXISTS alone still fails when two create it at once."""
    try:
        await connection.execute(LEDGER)
    except (asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError):
        await connection.execute(LEDGER)
    await connection.execute(SENTINEL)


async def _apply(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> list[str]:
    applied = []
    for migration in migrations:
        async with connection.transaction():
            await connection.execute(LOCK)
            digest = await connection.fetchval(APPLIED, migration.name)
            if digest is None:
                await connection.execute(migration.sql)
                await connection.execute(RECORD, migration.name, migration.digest)
                applied.append(migration.name)
                log.info("migrated", migration=migration.name)
            elif digest != migration.digest:
                raise MigrationError(
                    f"{migration.name} was changed after it was applied; write a new migration instead"
                )
    return applied


LEDGER = """
    CREATE TABLE IF NOT EXISTS migrations (
        name TEXT PRIMARY KEY, digest TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
    )
"""
SENTINEL = "INSERT INTO migrations (name, digest) VALUES ('lock', '') ON CONFLICT (name) DO NOTHING"
LOCK = "SELECT digest FROM migrations WHERE name = 'lock' FOR UPDATE"
APPLIED = "SELECT digest FROM migrations WHERE name = $1"
RECORD = "INSERT INTO migrations (name, digest) VALUES ($1, $2)"
