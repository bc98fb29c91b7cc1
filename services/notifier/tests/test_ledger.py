"""A notifier that dies between telling the forge and writing it down."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from estafette_common.bus.delivery import TemporaryError
from estafette_common.bus.messages.events import PipelineChanged, PipelineEvent
from estafette_common.bus.messages.message import Cause
from estafette_common.database.pool import Database
from estafette_common.github.client import GithubClient
from estafette_common.github.settings import GithubSettings
from estafette_common.jobs.lifecycle import Outcome, Status
from estafette_common.jobs.plan import Repository
from estafette_local.forge import OPENAPI, FakeForge
from notifier.ledger import BEGIN, Ledger
from notifier.notifier import Notifier
from notifier.statuses import due

pytestmark = pytest.mark.skipif(not OPENAPI.exists(), reason="GitHub's OpenAPI document is missing; run `make setup`")

CAUSE = Cause(id="1", type="", source="", time=datetime(2026, 11, 20, tzinfo=UTC))
REVISION = "c" * 40
SERVER = "http://ci"


def change(event: PipelineEvent, outcome: Outcome | None = None, *, source: str = "github.com") -> PipelineChanged:
    return PipelineChanged(
        event=event,
        build_id="7",
        repository=Repository(source=source, owner="acme", name="shop"),
        branch="main",
        revision=REVISION,
        version="1.0.7",
        status=outcome.status if outcome else Status.PENDING,
        outcome=outcome,
    )


STARTED = change(PipelineEvent.STARTED)
CANCELED = change(PipelineEvent.FINISHED, Outcome.CANCELED)


@pytest.fixture
async def forge() -> AsyncIterator[FakeForge]:
    async with FakeForge() as forge:
        yield forge
    assert forge.violations == []


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def github(forge: FakeForge) -> AsyncIterator[GithubClient]:
    settings = GithubSettings(github_api_url=forge.url, github_token="t")
    github = GithubClient(settings)
    await github.start()
    yield github
    await github.stop()


@pytest.fixture
def notifier(database: Database, github: GithubClient) -> Notifier:
    return Notifier(Ledger(database), github, server_url=SERVER)


async def test_a_status_that_reached_the_forge_before_the_crash_is_not_told_twice(
    notifier: Notifier, database: Database, github: GithubClient, forge: FakeForge
) -> None:
    [pending] = due(STARTED, server_url=SERVER)
    await database.pool.execute(BEGIN, "7", "pending")
    await github.create_commit_status("acme", "shop", REVISION, pending, installation=None)

    await notifier.on_changed(STARTED, CAUSE)

    assert forge.states(REVISION) == ["pending"]
    assert await database.pool.fetchval("SELECT delivered_at IS NOT NULL FROM commit_statuses")


async def test_a_status_that_did_not_reach_the_forge_before_the_crash_is_told(
    notifier: Notifier, database: Database, forge: FakeForge
) -> None:
    await database.pool.execute(BEGIN, "7", "pending")

    await notifier.on_changed(STARTED, CAUSE)

    assert forge.states(REVISION) == ["pending"]


async def test_the_end_tells_the_beginning_first_when_that_was_not_told(notifier: Notifier, forge: FakeForge) -> None:
    await notifier.on_changed(CANCELED, CAUSE)
    await notifier.on_changed(STARTED, CAUSE)

    assert forge.states(REVISION) == ["pending", "error"]


async def test_a_try_that_failed_is_not_written_down_as_told(
    notifier: Notifier, forge: FakeForge, database: Database
) -> None:
    forge.fail(503)

    with pytest.raises(TemporaryError):
        await notifier.on_changed(STARTED, CAUSE)

    assert await database.pool.fetchval("SELECT delivered_at FROM commit_statuses") is None


async def test_other_builds_of_a_commit_are_told_for_themselves(notifier: Notifier, forge: FakeForge) -> None:
    await notifier.on_changed(STARTED, CAUSE)
    await notifier.on_changed(STARTED.model_copy(update={"build_id": "8"}), CAUSE)

    assert [status["target_url"].rpartition("/")[2] for status in forge.statuses] == ["7", "8"]


async def test_nothing_is_told_of_a_repository_elsewhere(notifier: Notifier, forge: FakeForge) -> None:
    await notifier.on_changed(change(PipelineEvent.STARTED, source="git.example.com"), CAUSE)

    assert forge.statuses == []


async def test_nothing_is_told_without_a_credential(database: Database, forge: FakeForge) -> None:
    await Notifier(Ledger(database), None, server_url=SERVER).on_changed(STARTED, CAUSE)

    assert forge.statuses == []


async def test_a_long_reason_is_cut_to_what_github_takes() -> None:
    ended = change(PipelineEvent.FINISHED, Outcome.LOST).model_copy(update={"reason": "x" * 500})

    assert all(len(status.description or "") <= 140 for status in due(ended, server_url=SERVER))
