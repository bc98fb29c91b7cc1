"""A planner that dies between storing and telling: its replica tells what is missing."""

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Cancel
from estafette_common.bus.messages.events import DecisionMade, GitPushed, PipelineChanged
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.messages.message import Cause, Encoded, Message
from estafette_common.bus.publishing import NotStoredError
from estafette_common.database.pool import Database
from estafette_common.github.client import GithubClient
from estafette_common.github.settings import GithubSettings
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Repository
from manifest_planner.builds import Builds
from manifest_planner.concurrency import Rules
from manifest_planner.decisions import Decisions
from manifest_planner.planner import Planner
from manifest_planner.sealing import Sealer

VALID = "stages: {build: {image: busybox, commands: [echo hello]}}"
INVALID = "stages: {build: {}}"
PUSH = GitPushed(
    repository=Repository(source="github.com", owner="acme", name="shop"), ref="refs/heads/main", revision="a" * 40
)
CAUSE = Cause(id="1", type="", source="", time=datetime(2026, 11, 20, 12, 0, tzinfo=UTC))


class Notebook:
    """A publisher that breaks down after `lasts` messages, and shows what was told until then."""

    def __init__(self, lasts: int = 100) -> None:
        self.lasts = lasts
        self.told: list[Message | Encoded | LogChunk] = []

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        if len(self.told) == self.lasts:
            raise NotStoredError("the server is gone")
        self.told.append(message)

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.told if isinstance(each, kind)]


class Shelf:
    """A place that has one manifest, until it is taken away."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    async def read(self, push: GitPushed) -> str | None:
        return self.text

    async def head(self, repository: Repository, branch: str, installation: int | None) -> str | None:
        return None


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


Planners = Callable[[Database, Shelf, Notebook], Planner]


@pytest.fixture
def planner(queue_of: Any) -> Planners:
    def make(database: Database, shelf: Shelf, notebook: Notebook) -> Planner:
        sealer = Sealer(os.urandom(32), GithubClient(GithubSettings()))
        builds, decisions = Builds(database), Decisions(database)
        return Planner(shelf, builds, decisions, sealer, queue_of(database, notebook), notebook, rules=Rules())

    return make


async def die_after(messages: int, planner: Planners, database: Database, shelf: Shelf) -> None:
    """Handle the push until that many messages are told."""
    with pytest.raises(NotStoredError):
        await planner(database, shelf, Notebook(lasts=messages)).on_push(PUSH, CAUSE)


@pytest.mark.parametrize("messages", range(3))
async def test_a_build_is_requested_and_told_wherever_its_planner_dies(
    planner: Planners, database: Database, messages: int
) -> None:
    shelf, notebook = Shelf(VALID), Notebook()
    await die_after(messages, planner, database, shelf)

    await planner(database, shelf, notebook).on_push(PUSH, CAUSE)

    [request] = notebook.of(JobRequested)
    assert request.plan.version.counter == 1
    assert [change.event for change in notebook.of(PipelineChanged)] == ["started"]
    assert [made.decision for made in notebook.of(DecisionMade)] == ["started"]
    assert await database.pool.fetchval("SELECT last_counter FROM pipelines") == 1


@pytest.mark.parametrize("messages", range(4))
async def test_a_rejected_build_is_told_with_its_log_wherever_its_planner_dies(
    planner: Planners, database: Database, messages: int
) -> None:
    shelf, notebook = Shelf(INVALID), Notebook()
    await die_after(messages, planner, database, shelf)

    await planner(database, shelf, notebook).on_push(PUSH, CAUSE)

    assert len(notebook.of(LogChunk)) == 1
    assert [change.outcome for change in notebook.of(PipelineChanged)] == [None, "rejected"]
    assert [made.decision for made in notebook.of(DecisionMade)] == ["rejected"]


async def test_a_stored_build_decides_even_when_its_manifest_cannot_be_read_any_more(
    planner: Planners, database: Database
) -> None:
    shelf, notebook = Shelf(VALID), Notebook()
    await die_after(0, planner, database, shelf)
    shelf.text = None

    await planner(database, shelf, notebook).on_push(PUSH, CAUSE)

    assert len(notebook.of(JobRequested)) == 1


def of_policy(policy: str) -> Shelf:
    return Shelf(f"concurrency: {{policy: {policy}}}\n{VALID}")


@pytest.mark.parametrize("messages", range(3))
async def test_what_is_superseded_is_canceled_wherever_the_planner_dies(
    planner: Planners, database: Database, messages: int
) -> None:
    shelf, notebook = of_policy("cancel-superseded"), Notebook()
    await planner(database, shelf, Notebook()).on_push(PUSH, replace(CAUSE, id="0"))
    [first] = await database.pool.fetch("SELECT id FROM builds")
    await die_after(messages, planner, database, shelf)

    await planner(database, shelf, notebook).on_push(PUSH, CAUSE)

    assert [command.job_id for command in notebook.of(Cancel)] == [first["id"]]
    assert [made.decision for made in notebook.of(DecisionMade)] == ["waiting"]
    assert notebook.of(JobRequested) == []


async def one_that_waits(planner: Planners, database: Database, notebook: Notebook) -> tuple[str, str]:
    """Return the ids of a build that runs, and of one that waits for it."""
    shelf = of_policy("queue-all")
    for cause in ("0", "1"):
        await planner(database, shelf, notebook).on_push(PUSH, replace(CAUSE, id=cause))
    [started, waiting] = notebook.of(PipelineChanged)
    return started.build_id, waiting.build_id


async def lose(database: Database, build_id: str) -> None:
    await database.pool.execute("UPDATE builds SET status = 'failed', outcome = 'lost' WHERE id = $1", build_id)


@pytest.mark.parametrize("messages", range(2))
async def test_a_build_that_waited_is_requested_wherever_the_planner_dies(
    planner: Planners, queue_of: Any, database: Database, messages: int
) -> None:
    notebook = Notebook()
    running, waiting = await one_that_waits(planner, database, notebook)
    assert [each.job_id for each in notebook.of(JobRequested)] == [running]
    await lose(database, running)
    told, broken = Notebook(), Notebook(lasts=messages)
    with pytest.raises(NotStoredError):
        await queue_of(database, broken).left(Kind.BUILD, running)

    await queue_of(database, told).left(Kind.BUILD, running)

    requested = {each.job_id for each in (*broken.of(JobRequested), *told.of(JobRequested))}
    assert requested == {waiting}
    [made] = told.of(DecisionMade)
    assert (made.decision, made.cause_id) == ("started", identity.derive(running, identity.FINISHED))


async def test_what_no_event_lets_begin_begins_at_the_second_look(
    planner: Planners, queue_of: Any, database: Database
) -> None:
    running, waiting = await one_that_waits(planner, database, Notebook())
    notebook = Notebook()
    queue = queue_of(database, notebook)
    await queue.look()
    await lose(database, running)

    await queue.look()
    assert notebook.told == []

    await queue.look()
    assert [each.job_id for each in notebook.of(JobRequested)] == [waiting]
    [made] = notebook.of(DecisionMade)
    assert (made.decision, made.cause_id) == ("started", identity.derive(waiting, "look"))
