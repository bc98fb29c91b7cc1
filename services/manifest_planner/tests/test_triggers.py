"""What triggers lead to, through real NATS, PostgreSQL and git, with two replicas of the planner."""

import base64
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
from aiohttp import web
from estafette_common.bus.messages.commands import Answer, StartBot, StartRelease
from estafette_common.bus.messages.events import (
    BitbucketEvent,
    CronTicked,
    DecisionMade,
    GithubEvent,
    GitPushed,
    PubSubReceived,
    RegistryPushed,
    ReleaseChanged,
)
from estafette_common.bus.messages.jobs import JobFinished, JobRequested, JobStarted
from estafette_common.bus.messages.message import Envelope, Message
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.subjects import stream_of
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Repository
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from manifest_planner.app import create_app
from manifest_planner.settings import Settings
from nats.aio.client import Client

VERSION = "version: {semver: {major: 1, minor: 0}}"
STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
DEPLOY = "stages: {deploy: {image: busybox:1, commands: [deploy]}}"
MOST_HOPS = 3


class Scene:
    """What is told to the planner, and what it tells and stores."""

    def __init__(self, client: Client, publisher: JetStreamPublisher, database: asyncpg.Connection, root: Path) -> None:
        self.client = client
        self.publisher = publisher
        self.database = database
        self._root = root
        self._deliveries = 0

    def repository(self, name: str) -> GitRepository:
        """Return a repository of acme."""
        return GitRepository(self._root / "repositories", "acme", name)

    async def tell(self, message: Message) -> str:
        """Publish a message; return its id."""
        self._deliveries += 1
        delivery = f"delivery-{self._deliveries}"
        await self.publisher.publish(message, id=delivery)
        return delivery

    async def push(self, name: str, manifest: str, *, branch: str = "main") -> dict[str, Any]:
        """Commit a manifest, tell of the push, and return the build."""
        revision = self.repository(name).commit({".estafette.yaml": manifest}, branch=branch)
        before = await self.count("builds")
        await self.tell(GitPushed(repository=place(name), ref=f"refs/heads/{branch}", revision=revision))
        builds = await self.rows("builds", before + 1)
        return builds[-1]

    async def end(self, kind: Kind, job_id: str, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        """Let a job run and end."""
        now = datetime.now(UTC)
        await self.tell(JobStarted(kind=kind, job_id=job_id, attempt=1, time=now))
        await self.tell(JobFinished(kind=kind, job_id=job_id, attempt=1, outcome=outcome, time=now))

    async def build(self, name: str, manifest: str, *, branch: str = "main") -> dict[str, Any]:
        """Push a manifest and let its build succeed."""
        build = await self.push(name, manifest, branch=branch)
        await self.end(Kind.BUILD, build["id"])
        await self.until("builds", build["id"], "succeeded")
        return build

    async def until(self, table: str, job_id: str, status: str) -> None:
        """Wait until a job has a status."""

        async def has() -> bool:
            found = await self.database.fetchval(f"SELECT status FROM {table} WHERE id = $1", job_id)
            return bool(found == status)

        await eventually(has)

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(await self.database.fetchval(f"SELECT count(*) FROM {table}"))

    async def rows(self, table: str, count: int) -> list[dict[str, Any]]:
        """Wait until a table has so many rows, and return them in the order in which they came."""

        async def there_are() -> bool:
            return await self.count(table) >= count

        await eventually(there_are)
        rows = await self.database.fetch(f"SELECT * FROM {table} ORDER BY inserted_at")
        assert len(rows) == count
        return [dict(row) for row in rows]

    async def told(self, kind: type[Any], *, of: str = "") -> list[Any]:
        """Return all messages of a class, oldest first; those about one job if its id is given."""
        jetstream, stream = self.client.jetstream(), stream_of(kind.SUBJECT)
        state = (await jetstream.stream_info(stream)).state
        messages = [
            await jetstream.get_msg(stream, sequence) for sequence in range(max(state.first_seq, 1), state.last_seq + 1)
        ]
        found = [
            kind.decode(message.data or b"", message.headers or {})
            for message in messages
            if (message.headers or {}).get("ce-type") == kind.TYPE
        ]
        return [each for each in found if not of or each.job_id == of]

    async def request(self, job_id: str) -> JobRequested:
        """Wait for the request of a job, and return it."""

        async def is_there() -> bool:
            return bool(await self.told(JobRequested, of=job_id))

        await eventually(is_there)
        [request] = await self.told(JobRequested, of=job_id)
        assert isinstance(request, JobRequested)
        return request

    async def decision(self, cause: str) -> dict[str, Any]:
        """Wait for the decision about what an event fired, and return it."""
        query = "SELECT * FROM decisions WHERE cause_id = $1 AND subject_kind = 'trigger'"

        async def is_made() -> bool:
            return bool(await self.database.fetch(query, cause))

        await eventually(is_made)
        [row] = await self.database.fetch(query, cause)
        return dict(row)

    async def is_idle(self) -> bool:
        """Return whether nothing that was told is left to do."""
        jetstream = self.client.jetstream()
        for stream in ("EVENTS", "COMMANDS", "JOBS"):
            for info in await jetstream.consumers_info(stream):
                if info.num_pending or info.num_ack_pending:
                    return False
        return True

    async def ask(self, command: Any) -> Answer:
        """Send a command and return the answer."""
        inbox = self.client.new_inbox()
        answers = await self.client.subscribe(inbox)
        await self.tell(command.model_copy(update={"reply_to": inbox}))
        return Answer.model_validate_json((await answers.next_msg(timeout=20)).data)


def place(name: str) -> Repository:
    """Return a repository of acme at GitHub."""
    return Repository(source="github.com", owner="acme", name=name)


@pytest.fixture
async def scene(nats_server: NatsServer, database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    config = tmp_path / "config.yaml"
    config.write_text("buildControl: {github: {blocked: [acme/blocked]}}")
    settings = Settings(
        config_file=config,
        nats_url=nats_server.url,
        database_url=database_url,
        secret_key=base64.b64encode(os.urandom(32)).decode(),
        clone_url=f"file://{tmp_path}/repositories/{{owner}}/{{name}}.git",
        cache_dir=tmp_path / "cache",
        most_trigger_hops=MOST_HOPS,
    )
    runners = [web.AppRunner(create_app(settings)) for _ in range(2)]
    for runner in runners:
        await runner.setup()
    client = await nats.connect(nats_server.url)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    database = await asyncpg.connect(database_url)
    scene = Scene(client, publisher, database, tmp_path)
    yield scene
    await database.close()
    await client.close()
    for runner in runners:
        await runner.cleanup()


async def test_a_build_that_succeeds_is_released_and_that_release_releases_on(scene: Scene) -> None:
    build = await scene.build(
        "shop",
        f"""
{VERSION}
{STAGES}
releases:
  tooling: {{triggers: [{{pipeline: {{name: self}}}}], clone: true, {DEPLOY}}}
  production:
    actions: [{{name: stable}}]
    triggers: [{{release: {{name: self, target: tooling}}, releases: {{action: stable}}}}]
    {DEPLOY}
""",
    )

    [tooling] = await scene.rows("releases", 1)
    plan = (await scene.request(tooling["id"])).plan
    assert (plan.kind, plan.target, plan.version.version, plan.clone) == ("release", "tooling", "1.0.1", True)
    assert plan.revision == build["revision"]
    await scene.end(Kind.RELEASE, tooling["id"])
    _, production = await scene.rows("releases", 2)
    assert (production["target"], production["action"], production["version"]) == ("production", "stable", "1.0.1")
    assert (tooling["hops"], production["hops"]) == (1, 2)
    await scene.end(Kind.RELEASE, production["id"])
    await scene.until("releases", production["id"], "succeeded")
    await eventually(scene.is_idle)

    live = await scene.database.fetch("SELECT target, action, version FROM release_targets ORDER BY target")
    assert [tuple(row) for row in live] == [("production", "stable", "1.0.1"), ("tooling", "", "1.0.1")]
    changes = [(each.target, str(each.event), each.status) for each in await scene.told(ReleaseChanged)]
    assert changes == [
        ("tooling", "started", "pending"),
        ("tooling", "finished", "succeeded"),
        ("production", "started", "pending"),
        ("production", "finished", "succeeded"),
    ]


async def test_a_release_that_fails_is_not_live(scene: Scene) -> None:
    await scene.build(
        "shop", f"{STAGES}\nreleases: {{tooling: {{triggers: [{{pipeline: {{name: self}}}}], {DEPLOY}}}}}"
    )
    [release] = await scene.rows("releases", 1)

    await scene.end(Kind.RELEASE, release["id"], Outcome.FAILED)
    await scene.until("releases", release["id"], "failed")

    assert await scene.count("release_targets") == 0


async def test_a_build_of_another_pipeline_builds_what_the_branch_is_now(scene: Scene) -> None:
    waiting = f"{VERSION}\ntriggers: [{{pipeline: {{name: github.com/acme/lib}}, builds: {{branch: main}}}}]\n{STAGES}"
    await scene.push("shop", waiting)
    newer = scene.repository("shop").commit({".estafette.yaml": waiting.replace("make", "make all")})

    await scene.build("lib", f"{VERSION}\n{STAGES}")

    _, _, triggered = await scene.rows("builds", 3)
    assert (triggered["name"], triggered["revision"], triggered["version"]) == ("shop", newer, "1.0.2")
    plan = (await scene.request(triggered["id"])).plan
    assert plan.stages[0].commands == ("make all",)
    [event] = plan.events
    assert (event["fired"], event["pipeline"]["repoName"], event["pipeline"]["buildVersion"]) == (True, "lib", "1.0.1")


async def test_what_is_not_waited_for_fires_nothing(scene: Scene) -> None:
    await scene.push("shop", f"triggers: [{{pipeline: {{name: github.com/acme/lib}}}}]\n{STAGES}")

    build = await scene.push("lib", STAGES)
    await scene.end(Kind.BUILD, build["id"], Outcome.FAILED)
    await scene.until("builds", build["id"], "failed")
    await eventually(scene.is_idle)

    assert await scene.count("builds") == 2


@pytest.mark.parametrize(
    ("trigger", "event", "kind"),
    [
        (
            "git: {repository: github.com/acme/lib}",
            GitPushed(repository=place("lib"), ref="refs/heads/main", revision="b" * 40, deleted=False),
            "git",
        ),
        ("cron: {schedule: '0 3 * * *'}", CronTicked(time=datetime(2026, 11, 20, 3, 0, tzinfo=UTC)), "cron"),
        (
            "pubsub: {project: acme, topic: orders}",
            PubSubReceived(project="acme", topic="orders", data="aGk="),
            "pubsub",
        ),
        (
            "github: {events: [issues]}",
            GithubEvent(kind="issues", payload=json.dumps({"repository": {"full_name": "acme/shop"}}).encode()),
            "github",
        ),
        (
            "bitbucket: {events: ['issue:created']}",
            BitbucketEvent(kind="issue:created", repository="github.com/acme/shop", payload="{}"),
            "bitbucket",
        ),
        (
            "docker: {image: golang, tag: '1.21.0', policy: minor}",
            RegistryPushed(image="golang", tag="1.22.0"),
            "docker",
        ),
    ],
)
async def test_an_event_from_outside_runs_the_bot_that_waits_for_it(
    scene: Scene, trigger: str, event: Message, kind: str
) -> None:
    build = await scene.push("shop", f"{STAGES}\nbots: {{tidy: {{triggers: [{{{trigger}}}], {STAGES}}}}}")
    scene.repository("lib")

    told = await scene.tell(event)

    [run] = await scene.rows("bots", 1)
    plan = (await scene.request(run["id"])).plan
    assert (plan.kind, plan.target, plan.clone, plan.revision) == ("bot", "tidy", False, build["revision"])
    assert set(plan.events[0]) == {"fired", kind}
    decision = await scene.decision(told)
    assert (decision["decision"], decision["job_kind"], decision["job_id"]) == ("started", "bot", run["id"])
    await scene.end(Kind.BOT, run["id"])
    await scene.until("bots", run["id"], "succeeded")


async def test_a_payload_too_large_for_its_message_is_looked_into_where_it_lies(scene: Scene) -> None:
    await scene.push("shop", f"{STAGES}\nbots: {{tidy: {{triggers: [{{github: {{events: [issues]}}}}], {STAGES}}}}}")
    payload = {"repository": {"full_name": "acme/shop"}, "issue": {"body": "x" * 1_000_000}}
    store = await scene.client.jetstream().create_object_store("payloads")
    await store.put("1", json.dumps(payload).encode())

    await scene.tell(GithubEvent(kind="issues", dataref="payloads/1"))

    [run] = await scene.rows("bots", 1)
    [event] = (await scene.request(run["id"])).plan.events
    assert (event["github"]["repository"], event["github"]["payload"]) == ("github.com/acme/shop", "")


async def test_an_event_that_comes_again_fires_once(scene: Scene) -> None:
    await scene.push("shop", f"triggers: [{{cron: {{schedule: '0 3 * * *'}}}}]\n{STAGES}")
    tick = CronTicked(time=datetime(2026, 11, 20, 3, 0, tzinfo=UTC))
    headers = Envelope(id="tick", type=tick.TYPE, source="test", time=tick.time).headers(
        content_type="application/json"
    )
    del headers["Nats-Msg-Id"]  # so that the stream takes each for another one

    scene.repository("shop").commit({".estafette.yaml": STAGES}, branch="master")
    for _ in range(5):
        await scene.client.jetstream().publish(tick.subject, tick.encode(), headers=headers)
    await scene.rows("builds", 2)
    await eventually(scene.is_idle)

    assert await scene.count("builds") == 2


async def test_a_trigger_whose_branch_is_not_there_is_decided_against_and_says_so(scene: Scene) -> None:
    await scene.push("shop", f"triggers: [{{cron: {{schedule: '* * * * *'}}, builds: {{branch: gone}}}}]\n{STAGES}")

    told = await scene.tell(CronTicked(time=datetime(2026, 11, 20, 3, 0, tzinfo=UTC)))

    decision = await scene.decision(told)
    assert decision["decision"] == "ignored"
    assert "there is no branch gone" in decision["reason"]


async def test_a_repository_that_is_blocked_is_not_built_and_the_decision_says_so(scene: Scene) -> None:
    revision = scene.repository("blocked").commit({".estafette.yaml": STAGES})

    await scene.tell(GitPushed(repository=place("blocked"), ref="refs/heads/main", revision=revision))

    [decision] = await eventually(lambda: scene.told(DecisionMade))
    assert (decision.decision, decision.job_id) == ("refused", None)
    assert "github.com/acme/blocked is blocked" in decision.reason
    assert await scene.count("builds") == 0


async def test_triggers_in_a_circle_end(scene: Scene) -> None:
    manifest = f"triggers: [{{pipeline: {{name: self, event: started}}, builds: {{branch: main}}}}]\n{STAGES}"

    await scene.push("shop", manifest)

    await scene.rows("builds", 1 + MOST_HOPS)
    await eventually(scene.is_idle)
    decisions = await scene.told(DecisionMade)
    assert [each.decision for each in decisions if each.subject_kind == "trigger"] == ["started"] * MOST_HOPS + [
        "ignored"
    ]
    assert await scene.count("builds") == 1 + MOST_HOPS


async def test_a_pipeline_keeps_its_triggers_and_targets_while_its_manifest_is_not_valid(scene: Scene) -> None:
    await scene.push(
        "shop", f"labels: {{app: shop}}\nreleases: {{tooling: {{triggers: [{{pipeline: {{name: self}}}}]}}}}\n{STAGES}"
    )

    broken = await scene.push("shop", "stages: {build: {}}")

    assert broken["outcome"] == "rejected"
    assert json.loads(broken["labels"]) == [{"key": "app", "value": "shop"}]
    assert json.loads(broken["release_targets"]) == [{"name": "tooling", "actions": []}]
    assert await scene.count("triggers") == 1


async def test_a_pipeline_has_the_triggers_of_its_newest_build(scene: Scene) -> None:
    await scene.push("shop", f"triggers: [{{git: {{repository: github.com/acme/lib}}}}]\n{STAGES}")
    await scene.push("shop", f"triggers: [{{cron: {{schedule: '0 3 * * *'}}}}]\n{STAGES}")

    assert [row["kind"] for row in await scene.database.fetch("SELECT kind FROM triggers")] == ["cron"]
    await scene.push("shop", STAGES)
    assert await scene.count("triggers") == 0


async def test_a_named_trigger_tells_of_the_last_build_that_matched_and_keeps_no_job_back(scene: Scene) -> None:
    named = f"triggers: [{{name: upstream, pipeline: {{name: github.com/acme/lib, branch: main}}}}]\n{STAGES}"

    first = await scene.push("shop", named)
    await scene.build("lib", f"{VERSION}\n{STAGES}", branch="main")
    second = await scene.push("shop", named.replace("make", "make all"), branch="feature")

    assert [event["fired"] for event in (await scene.request(first["id"])).plan.events] == [True]
    [remembered] = [each for each in (await scene.request(second["id"])).plan.events if not each["fired"]]
    assert (remembered["name"], remembered["pipeline"]["buildVersion"]) == ("upstream", "1.0.1")


async def test_a_release_is_started_on_command_and_asked_again_it_is_the_same(scene: Scene) -> None:
    await scene.build("shop", f"{VERSION}\n{STAGES}\nreleases: {{tooling: {{{DEPLOY}}}}}")
    command = StartRelease(repository=place("shop"), target="tooling", version="1.0.1", by="robin@example.com")

    answer = await scene.ask(command)

    [release] = await scene.rows("releases", 1)
    assert (answer.error, answer.job_id, answer.version) == (None, release["id"], "1.0.1")
    plan = (await scene.request(release["id"])).plan
    assert plan.events == ({"fired": True, "manual": {"userID": "robin@example.com"}},)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "9.9.9"}, "no build of version 9.9.9 has succeeded"),
        ({"target": "moon"}, "no release target 'moon'"),
        ({"action": "canary"}, "no action 'canary'"),
        ({"repository": place("nothing")}, "no build of the pipeline has succeeded"),
    ],
)
async def test_a_release_that_cannot_be_is_answered_with_the_reason(
    scene: Scene, changes: dict[str, Any], reason: str
) -> None:
    await scene.build("shop", f"{STAGES}\nreleases: {{tooling: {{{DEPLOY}}}}}")

    answer = await scene.ask(StartRelease(**{"repository": place("shop"), "target": "tooling", **changes}))

    assert answer.error == "invalid"
    assert reason in answer.message
    assert await scene.count("releases") == 0


async def test_a_bot_is_run_on_command(scene: Scene) -> None:
    await scene.push("shop", f"{STAGES}\nbots: {{tidy: {{{STAGES}}}}}")

    answer = await scene.ask(StartBot(repository=place("shop"), bot="tidy"))

    [run] = await scene.rows("bots", 1)
    assert (answer.error, answer.job_id) == (None, run["id"])


async def test_a_docker_trigger_fires_for_updates_of_what_it_dealt_with_last(scene: Scene) -> None:
    await scene.push(
        "shop", f"{STAGES}\nbots: {{tidy: {{triggers: [{{docker: {{image: golang, policy: minor}}}}], {STAGES}}}}}"
    )

    for tag in ("1.21.0", "1.22.0", "1.22.0", "2.0.0", "1.22.1"):
        await scene.tell(RegistryPushed(image="golang", tag=tag))
        await eventually(scene.is_idle)

    tags = [json.loads(run["trigger_events"])[0]["docker"]["tag"] for run in await scene.rows("bots", 2)]
    assert tags == ["1.22.0", "1.22.1"]
