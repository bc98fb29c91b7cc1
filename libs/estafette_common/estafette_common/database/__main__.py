"""`python -m estafette_common.database`: bring the schema up to date."""

import asyncio

import asyncpg
import structlog

from estafette_common import telemetry
from estafette_common.database.migrating import migrate
from estafette_common.settings import DatabaseSettings

PATIENCE = 120.0
"""Seconds in which a database that is being started has to answer."""

PAUSE = 1.0
"""Seconds between two tries."""

log = structlog.get_logger()


async def main(url: str) -> None:
    """Bring the schema up to date as soon as the database answers. What it says then is raised as it is."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            await migrate(url)
        except (OSError, asyncpg.CannotConnectNowError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("database does not answer", error=repr(error))
            await asyncio.sleep(PAUSE)
        else:
            return


if __name__ == "__main__":
    telemetry.configure(service="migrations")
    asyncio.run(main(DatabaseSettings().database_url))
