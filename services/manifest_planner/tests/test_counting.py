import pytest
from estafette_common.database.pool import Database
from manifest_planner.counting import Counts
from prometheus_client import REGISTRY


@pytest.fixture
async def database(database_url: str) -> Database:
    database = Database(database_url)
    await database.start()
    return database


async def insert(database: Database, number: int, **told: str) -> None:
    columns = {
        "id": str(number), "source": "github.com", "owner": "acme", "name": "shop", "branch": "main",
        "revision": "c" * 40, "version": f"1.0.{number}", "manifest": "",
    } | told  # fmt: skip
    names = ", ".join([*columns, "counter", "number_taken", "labels", "commits", "trigger_events"])
    places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    await database.pool.execute(
        f"INSERT INTO builds ({names}) VALUES ({places}, {number}, {number}, '[]', '[]', '[]')",
        *columns.values(),
    )


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"estafette_{name}", labels)


async def test_jobs_are_counted_by_state_and_by_what_they_wait_for(database: Database) -> None:
    await insert(database, 1, status="pending", waits_for="waits for build 1.0.0")
    await insert(database, 2, status="pending")
    await insert(database, 3, status="pending")
    await database.pool.execute("UPDATE builds SET dispatched_at = now() WHERE id = '3'")
    await insert(database, 4, status="running")
    await insert(database, 5, status="failed", outcome="lost")
    await insert(database, 6, status="failed", outcome="lost")

    await Counts(database).count()

    assert metric("jobs", kind="build", status="pending") == 3
    assert metric("jobs", kind="build", status="running") == 1
    for reason in ("others", "dispatch", "start"):
        assert metric("pending_jobs", kind="build", reason=reason) == 1
    assert metric("ended_jobs_of_last_day", kind="build", outcome="lost") == 2
    await database.stop()


async def test_what_there_is_none_of_any_more_is_not_told(database: Database) -> None:
    await insert(database, 1, status="running")
    await Counts(database).count()

    await database.pool.execute("UPDATE builds SET status = 'succeeded', outcome = 'succeeded'")
    await Counts(database).count()

    assert metric("jobs", kind="build", status="running") is None
    assert metric("ended_jobs_of_last_day", kind="build", outcome="succeeded") == 1
    await database.stop()
