"""Playing windows to planners, and what that led to."""

from collections.abc import Iterable
from typing import Any

import asyncpg
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.subjects import STREAMS
from estafette_local.waiting import eventually
from nats.aio.client import Client

from tests.replay.recording import Told, Window
from tests.replay.repositories import Repositories

TABLES = {
    "builds": "*",
    "releases": "*",
    "bots": "*",
    "decisions": "*",
    "pipelines": "source, owner, name, last_counter, last_build_id, triggers_digest",
    "release_targets": "*",
    "triggers": "*",
    "watched_tags": "*",
}
"""With the columns that no clock decides on, or all; of these, times are left out."""

Tables = dict[str, list[dict[str, Any]]]

READ_BY_PLANNERS = ("EVENTS", "COMMANDS", "JOBS")


class Player:
    """Tells planners what was recorded."""

    def __init__(self, client: Client, database_url: str, repositories: Repositories) -> None:
        self._jetstream = client.jetstream()
        self._database_url = database_url
        self._repositories = repositories

    def commit(self, window: Window) -> None:
        """Let the branches be as they were in a window."""
        for commit in window.commits:
            made = self._repositories.commit(commit.name, commit.files, branch=commit.branch)
            assert made == commit.revision, "a commit came out different; record the stream anew"

    async def tell(self, messages: Iterable[Told]) -> None:
        """Publish messages in this order, none waiting for what another leads to."""
        for told in messages:
            await self._jetstream.publish(told.subject, told.body, headers=dict(told.headers))

    async def until_idle(self) -> None:
        """Wait until the planners have nothing left to do."""
        await eventually(self._is_idle, within=60)

    async def _is_idle(self) -> bool:
        """Return whether every message was acknowledged, and none came while this was asked."""
        before = await self._last()
        for stream in READ_BY_PLANNERS:
            for consumer in await self._jetstream.consumers_info(stream):
                if consumer.num_pending or consumer.num_ack_pending:
                    return False
        return before == await self._last()

    async def _last(self) -> list[int]:
        return [(await self._jetstream.stream_info(stream)).state.last_seq for stream in READ_BY_PLANNERS]

    async def shorten_ack_wait(self, seconds: float) -> None:
        """Give a message to another planner as long after its planner died; a planner that starts resets this."""
        for stream in READ_BY_PLANNERS:
            for consumer in await self._jetstream.consumers_info(stream):
                if consumer.config.ack_wait != seconds:
                    await self._jetstream.add_consumer(stream, consumer.config.evolve(ack_wait=seconds))

    async def requests(self) -> list[JobRequested]:
        """Return all requests for jobs, by their ids."""
        state = (await self._jetstream.stream_info("JOBS")).state
        found = [
            await self._jetstream.get_msg("JOBS", number)
            for number in range(max(state.first_seq, 1), state.last_seq + 1)
        ]
        requests = [
            JobRequested.decode(each.data or b"", {}) for each in found if (each.subject or "").endswith(".requested")
        ]
        return sorted(requests, key=lambda each: each.job_id)

    async def buried(self) -> int:
        """Return how many messages nobody could handle."""
        return (await self._jetstream.stream_info(STREAMS["dead"].name)).state.messages

    async def tables(self) -> Tables:
        """Return what is stored, but for the times."""
        database = await asyncpg.connect(self._database_url)
        try:
            return {table: await _rows(database, table, columns) for table, columns in TABLES.items()}
        finally:
            await database.close()


async def _rows(database: asyncpg.Connection, table: str, columns: str) -> list[dict[str, Any]]:
    rows = [dict(row) for row in await database.fetch(f"SELECT {columns} FROM {table}")]
    kept = [{name: value for name, value in row.items() if not name.endswith("_at")} for row in rows]
    return sorted(kept, key=lambda row: repr(sorted(row.items())))


def check_same(found: Tables, expected: Tables) -> None:
    """Raise AssertionError with the rows that only one of two has."""
    differences = []
    for table in TABLES:
        for mark, these, those in (("missing", expected, found), ("besides", found, expected)):
            differences += [f"{mark}: {table} {row}" for row in these[table] if row not in those[table]]
    assert not differences, "\n".join(differences)
