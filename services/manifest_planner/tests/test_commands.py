"""What people ask for, through real NATS, PostgreSQL and git, with two replicas of the planner."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import nats
import pytest
from aiohttp import web
from estafette_common.bus.messages.commands import (
    Answer,
    Cancel,
    Command,
    Error,
    Rebuild,
    StartBot,
    StartBuild,
    StartRelease,
)
from estafette_common.bus.messages.jobs import JobGone, JobRequested
from estafette_common.bus.requesting import Requester
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Repository
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from manifest_planner.app import create_app
from manifest_planner.settings import Settings

MANIFEST = "stages: {test: {image: busybox, commands: [make]}}"
PLACE = Repository(source="github.com", owner="acme", name="shop")
START = StartBuild(repository=PLACE, branch="main", by="robin@example.com")


class Scene:
    """A planner, and somebody who asks."""

    def __init__(self, requester: Requester, database: asyncpg.Connection, settings: Settings) -> None:
        self._requester = requester
        self.database = database
        self._settings = settings
        self._runners: list[web.AppRunner] = []

    async def start_planner(self, replicas: int = 2) -> None:
        self._runners = [web.AppRunner(create_app(self._settings)) for _ in range(replicas)]
        for runner in self._runners:
            await runner.setup()

    async def stop_planner(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def ask(self, command: Command, *, id: str = "", within: float = 20) -> Answer:
        return await self._requester.ask(command, id=id or str(uuid4()), within=within)

    async def tell(self, message: JobGone) -> None:
        await self._requester.jetstream.publish(message.subject, message.encode())

    async def builds(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.database.fetch("SELECT * FROM builds ORDER BY inserted_at")]

    async def end_all(self, status: str) -> None:
        await self.database.execute("UPDATE builds SET status = $1, outcome = $1", status)


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return GitRepository(tmp_path / "repositories", "acme", "shop")


@pytest.fixture
async def scene(nats_server: NatsServer, database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    settings = Settings(
        nats_url=nats_server.url,
        database_url=database_url,
        secret_key=base64.b64encode(os.urandom(32)).decode(),
        clone_url=f"file://{tmp_path}/repositories/{{owner}}/{{name}}.git",
        cache_dir=tmp_path / "cache",
    )
    client = await nats.connect(nats_server.url)
    database = await asyncpg.connect(database_url)
    scene = Scene(Requester(client, source="test"), database, settings)
    await scene.start_planner()
    await eventually(lambda: client.jetstream().consumer_info("COMMANDS", "planner-build-start"))
    yield scene
    await scene.stop_planner()
    await database.close()
    await client.close()


async def test_a_branch_is_built_at_its_head(scene: Scene, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    head = repository.commit({".estafette.yaml": MANIFEST, "README": "more"})

    answer = await scene.ask(START)

    [build] = await scene.builds()
    assert (answer.error, answer.job_id, answer.version) == (None, build["id"], build["version"])
    assert (build["revision"], build["branch"], build["status"]) == (head, "main", "pending")
    events = json.loads(await scene.database.fetchval("SELECT trigger_events::text FROM builds"))
    assert events == [{"fired": True, "manual": {"userID": "robin@example.com"}}]
    [decision] = await scene.database.fetch("SELECT * FROM decisions")
    assert (decision["decision"], decision["reason"]) == ("started", "build of main that robin@example.com asked for")


async def test_an_older_revision_can_be_built(scene: Scene, repository: GitRepository) -> None:
    older = repository.commit({".estafette.yaml": MANIFEST})
    repository.commit({".estafette.yaml": "stages: {}"})

    await scene.ask(START.model_copy(update={"revision": older}))

    assert [build["revision"] for build in await scene.builds()] == [older]


async def test_the_same_request_again_gives_the_same_build(scene: Scene, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    first = await scene.ask(START, id="request-1")
    repository.commit({".estafette.yaml": MANIFEST, "README": "the branch went on"})

    assert await scene.ask(START, id="request-1") == first
    assert len(await scene.builds()) == 1
    assert (await scene.ask(START, id="request-2")).job_id != first.job_id


async def test_a_request_waits_for_a_planner_that_is_away(scene: Scene, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    await scene.stop_planner()
    asking = asyncio.create_task(scene.ask(START))
    await eventually(lambda: _is_stored(scene))

    await scene.start_planner(replicas=1)

    assert (await asking).error is None


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"branch": "nowhere"}, Error.NOT_FOUND, "has no branch nowhere"),
        ({"revision": "v1.0"}, Error.INVALID, "'v1.0' is no revision"),
        ({"branch": "empty"}, Error.REFUSED, "there is no .estafette.yaml"),
    ],
)
async def test_what_cannot_be_built_is_answered_with_the_reason(
    scene: Scene, repository: GitRepository, changes: dict[str, str], error: Error, message: str
) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    repository.commit({"README": "no manifest"}, branch="empty")

    answer = await scene.ask(START.model_copy(update=changes))

    assert answer.error is error
    assert message in answer.message
    assert await scene.builds() == []


async def test_an_invalid_manifest_is_a_failed_build_that_says_why(scene: Scene, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": "stages: {test: {}}"})

    answer = await scene.ask(START)

    assert (answer.error, answer.status) == (None, "failed")
    assert "stages.test" in answer.message


@pytest.mark.parametrize("ended", ["failed", "canceled"])
async def test_a_rebuild_has_the_version_of_what_it_repeats(
    scene: Scene, repository: GitRepository, ended: str
) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    first = await scene.ask(START, id="1")
    repository.commit({".estafette.yaml": "stages: {}"})
    await scene.end_all(ended)

    again = await scene.ask(Rebuild(repository=PLACE, version=first.version or "", by="kim"), id="2")

    assert (again.error, again.version, again.status) == (None, first.version, "pending")
    old, new = await scene.builds()
    assert (new["id"], new["rebuild_of"]) == (again.job_id, old["id"])
    for same in ("revision", "manifest", "counter", "branch"):
        assert new[same] == old[same]
    [pipeline] = await scene.database.fetch("SELECT last_counter, last_build_id FROM pipelines")
    assert (pipeline["last_counter"], pipeline["last_build_id"]) == (1, new["id"])


@pytest.mark.parametrize("now", ["pending", "running", "canceling", "succeeded"])
async def test_a_version_that_is_built_or_succeeded_is_not_rebuilt(
    scene: Scene, repository: GitRepository, now: str
) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    first = await scene.ask(START)
    await scene.database.execute("UPDATE builds SET status = $1", now)

    answer = await scene.ask(Rebuild(repository=PLACE, version=first.version or ""))

    assert (answer.error, len(await scene.builds())) == (Error.REFUSED, 1)
    assert answer.message == f"build {first.job_id} of version {first.version} is {now}"


async def test_two_rebuilds_at_once_are_one(scene: Scene, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    first = await scene.ask(START)
    await scene.end_all("failed")

    command = Rebuild(repository=PLACE, version=first.version or "")
    answers = await asyncio.gather(*(scene.ask(command) for _ in range(4)))

    assert sorted(answer.error or "" for answer in answers) == ["", "refused", "refused", "refused"]
    assert len(await scene.builds()) == 2


async def test_a_version_that_was_never_built_is_not_rebuilt(scene: Scene) -> None:
    answer = await scene.ask(Rebuild(repository=PLACE, version="1.0.0"))

    assert answer.error is Error.NOT_FOUND


async def test_a_build_is_canceled_on_command(scene: Scene, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    started = await scene.ask(START)

    answer = await scene.ask(Cancel(kind=Kind.BUILD, job_id=started.job_id or "", by="kim"))

    assert (answer.error, answer.status) == (None, "canceling")


@pytest.mark.parametrize(
    ("kind", "table", "start"),
    [
        (Kind.RELEASE, "releases", StartRelease(repository=PLACE, target="production")),
        (Kind.BOT, "bots", StartBot(repository=PLACE, bot="tidy")),
    ],
)
async def test_releases_and_bots_are_canceled_like_builds(
    scene: Scene, repository: GitRepository, nats_server: NatsServer, kind: Kind, table: str, start: Command
) -> None:
    job = "{stages: {run: {image: busybox, commands: [make]}}}"
    repository.commit({".estafette.yaml": f"{MANIFEST}\nreleases: {{production: {job}}}\nbots: {{tidy: {job}}}\n"})
    await scene.ask(START)
    await scene.end_all("succeeded")
    started = await scene.ask(start)
    assert started.error is None, started.message

    answer = await scene.ask(Cancel(kind=kind, job_id=started.job_id or "", by="kim"))

    assert (answer.error, answer.status) == (None, "canceling")
    await scene.tell(JobGone(kind=kind, job_id=started.job_id or "", reason="it was not started"))
    await eventually(lambda: _has(scene, f"SELECT count(*) FROM {table} WHERE status = 'canceled'"), within=20)


async def test_a_rebuild_is_a_job_of_its_own(scene: Scene, repository: GitRepository, nats_server: NatsServer) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    first = await scene.ask(START)
    await scene.end_all("failed")

    again = await scene.ask(Rebuild(repository=PLACE, version=first.version or ""))

    client = await nats.connect(nats_server.url)
    found = await client.jetstream().get_last_msg("JOBS", f"job.build.{again.job_id}.requested")
    await client.close()
    plan = JobRequested.decode(found.data or b"", {}).plan
    assert (plan.version.version, plan.job_id) == (first.version, again.job_id)


async def test_a_rebuild_goes_on_in_the_workspace_of_what_failed(
    scene: Scene, repository: GitRepository, nats_server: NatsServer
) -> None:
    repository.commit({".estafette.yaml": MANIFEST.replace("[make]", "[make], resumable: true")})
    first = await scene.ask(START)
    await scene.end_all("failed")
    await scene.database.execute("UPDATE builds SET runtime = 'local'")

    command = Rebuild(repository=PLACE, version=first.version or "", from_failed=True)
    again = await scene.ask(command, id="request-1")

    assert (again.error, await scene.ask(command, id="request-1")) == (None, again)
    assert again.message.startswith(f"goes on in the workspace of build {first.job_id}")
    client = await nats.connect(nats_server.url)
    found = await client.jetstream().get_last_msg("JOBS", f"job.build.{again.job_id}.requested")
    await client.close()
    assert JobRequested.decode(found.data or b"", {}).plan.resumes == first.job_id


async def test_a_rebuild_that_cannot_go_on_is_refused_and_recorded(scene: Scene, repository: GitRepository) -> None:
    repository.commit({".estafette.yaml": MANIFEST})
    first = await scene.ask(START)
    await scene.end_all("failed")
    await scene.database.execute("UPDATE builds SET runtime = 'local'")

    answer = await scene.ask(Rebuild(repository=PLACE, version=first.version or "", from_failed=True))

    assert (answer.error, len(await scene.builds())) == (Error.REFUSED, 1)
    assert "no stage of" in answer.message
    decisions = await scene.database.fetch("SELECT reason FROM decisions WHERE decision = 'refused'")
    assert [decision["reason"] for decision in decisions] == [answer.message]


async def _has(scene: Scene, count: str) -> bool:
    return bool(await scene.database.fetchval(count))


async def _is_stored(scene: Scene) -> bool:
    return bool((await scene._requester.jetstream.stream_info("COMMANDS")).state.messages)
