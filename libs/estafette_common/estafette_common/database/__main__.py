"""`python -m estafette_common.database`: bring the schema up to date."""

import asyncio

from estafette_common import telemetry
from estafette_common.database.migrating import migrate
from estafette_common.settings import DatabaseSettings

if __name__ == "__main__":
    telemetry.configure(service="migrations")
    asyncio.run(migrate(DatabaseSettings().database_url))
