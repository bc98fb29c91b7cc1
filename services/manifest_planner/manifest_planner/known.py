"""What the database knows of a pipeline before an event. Reads only."""

import asyncpg
from estafette_common.jobs.plan import Repository

from manifest_planner.builds import NEWEST_FIRST
from manifest_planner.foreseeing import State


async def state(database_url: str, place: Repository) -> State:
    """Return what is known of a pipeline; of one that is not known, what is true of a new one.

    Raises what asyncpg raises when the database cannot be asked.
    """
    key = (place.source, place.owner, place.name)
    connection = await asyncpg.connect(database_url, server_settings={"default_transaction_read_only": "on"})
    try:
        number = await connection.fetchval(LAST_NUMBER, *key) or 0
        latest = await connection.fetchval(LATEST, *key) or ""
        live = await connection.fetch(LIVE, *key)
    finally:
        await connection.close()
    return State(
        number=number + 1, latest=latest, live={(row["target"], row["action"]): row["version"] for row in live}
    )


LAST_NUMBER = "SELECT last_counter FROM pipelines WHERE source = $1 AND owner = $2 AND name = $3"

LATEST = f"""
    SELECT version FROM builds WHERE source = $1 AND owner = $2 AND name = $3 AND status = 'succeeded'
    ORDER BY {NEWEST_FIRST} LIMIT 1
"""  # noqa: S608  constants

LIVE = """
    SELECT target, action, version FROM release_targets WHERE source = $1 AND owner = $2 AND name = $3
"""
