"""What the database knows of a pipeline before an event. Reads only."""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg
from estafette_common.jobs.plan import Repository
from estafette_common.triggers.event_documents import KINDS
from estafette_common.triggers.events import Event, PipelineEvent, ReleaseEvent

from manifest_planner.builds import NEWEST_FIRST
from manifest_planner.firing import Candidate
from manifest_planner.foreseeing import State
from manifest_planner.trigger_keys import keys_for
from manifest_planner.triggers import SELECT, candidate


async def state(database_url: str, place: Repository, events: Sequence[Event] = ()) -> State:
    """Return what is known of a pipeline; of one that is not known, what is true of a new one.

    Of other pipelines, that is the triggers that may wait for these events, or for builds and releases of this one; but
    not for minutes. Raises what asyncpg raises when the database cannot be asked.
    """
    key = (place.source, place.owner, place.name)
    connection = await asyncpg.connect(database_url, server_settings={"default_transaction_read_only": "on"})
    try:
        number = await connection.fetchval(LAST_NUMBER, *key) or 0
        latest = await connection.fetchval(LATEST, *key) or ""
        live = await connection.fetch(LIVE, *key)
        others = [each for event in (*_told_of(place), *events) for each in await _others(connection, place, event)]
    finally:
        await connection.close()
    return State(
        number=number + 1,
        latest=latest,
        live={(row["target"], row["action"]): row["version"] for row in live},
        others=tuple({(each.repository, each.digest): each for each in others}.values()),
    )


def _told_of(place: Repository) -> tuple[Event, Event]:
    """Return what jobs of a pipeline tell."""
    names = {"repo_source": place.source, "repo_owner": place.owner, "repo_name": place.name}
    return PipelineEvent(**names), ReleaseEvent(**names)


async def _others(connection: Any, place: Repository, event: Event) -> list[Candidate]:
    rows = await connection.fetch(SELECT, KINDS[type(event)], list(keys_for(event)))
    found = [
        candidate(row["source"], row["owner"], row["name"], row["digest"], json.loads(row["written"])) for row in rows
    ]
    return [each for each in found if each.repository != place]


LAST_NUMBER = "SELECT last_counter FROM pipelines WHERE source = $1 AND owner = $2 AND name = $3"

LATEST = f"""
    SELECT version FROM builds WHERE source = $1 AND owner = $2 AND name = $3 AND status = 'succeeded'
    ORDER BY {NEWEST_FIRST} LIMIT 1
"""  # noqa: S608  constants

LIVE = """
    SELECT target, action, version FROM release_targets WHERE source = $1 AND owner = $2 AND name = $3
"""
