"""What triggers lead to, through real NATS, PostgreSQL and git, with two replicas of the planner."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Command, Rebuild, StartBot, StartRelease
from estafette_common.bus.messages.events import (
    BitbucketEvent,
    Commit,
    CronTicked,
    DecisionMade,
    GithubEvent,
    GitPushed,
    Person,
    PubSubReceived,
    RegistryPushed,
    ReleaseChanged,
)
from estafette_common.bus.messages.message import Message
from estafette_common.bus.messages.triggers import Fire
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Repository
from estafette_local.waiting import eventually
from manifest_planner import firing

VERSION = "version: {semver: {major: 1, minor: 0}}"
STAGES = "stages: {build: {image: busybox:1, commands: [make]}}"
DEPLOY = "stages: {deploy: {image: busybox:1, commands: [deploy]}}"
MOST_HOPS = 3
"""Of the planners in the scene."""


def place(name: str) -> Repository:
    """Return a repository of acme at GitHub."""
    return Repository(source="github.com", owner="acme", name=name)


async def test_a_build_that_succeeds_is_released_and_that_release_releases_on(scene: Any) -> None:
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


async def test_a_release_that_fails_is_not_live(scene: Any) -> None:
    await scene.build(
        "shop", f"{STAGES}\nreleases: {{tooling: {{triggers: [{{pipeline: {{name: self}}}}], {DEPLOY}}}}}"
    )
    [release] = await scene.rows("releases", 1)

    await scene.end(Kind.RELEASE, release["id"], Outcome.FAILED)
    await scene.until("releases", release["id"], "failed")

    assert await scene.count("release_targets") == 0


async def test_a_build_of_another_pipeline_builds_what_the_branch_is_now(scene: Any) -> None:
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


async def test_what_is_not_waited_for_fires_nothing(scene: Any) -> None:
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
    scene: Any, trigger: str, event: Message, kind: str
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


async def test_a_payload_too_large_for_its_message_is_looked_into_where_it_lies(scene: Any) -> None:
    await scene.push("shop", f"{STAGES}\nbots: {{tidy: {{triggers: [{{github: {{events: [issues]}}}}], {STAGES}}}}}")
    payload = {"repository": {"full_name": "acme/shop"}, "issue": {"body": "x" * 1_000_000}}
    store = await scene.client.jetstream().create_object_store("payloads")
    await store.put("1", json.dumps(payload).encode())

    await scene.tell(GithubEvent(kind="issues", dataref="payloads/1"))

    [run] = await scene.rows("bots", 1)
    [event] = (await scene.request(run["id"])).plan.events
    assert (event["github"]["repository"], event["github"]["payload"]) == ("github.com/acme/shop", "")


async def test_an_event_that_comes_again_fires_once(scene: Any) -> None:
    await scene.push("shop", f"triggers: [{{cron: {{schedule: '0 3 * * *'}}}}]\n{STAGES}")
    tick = CronTicked(time=datetime(2026, 11, 20, 3, 0, tzinfo=UTC))
    scene.repository("shop").commit({".estafette.yaml": STAGES}, branch="master")
    for _ in range(5):
        await scene.tell_again(tick, id="tick")
    await scene.rows("builds", 2)
    await eventually(scene.is_idle)

    assert await scene.count("builds") == 2


async def test_a_trigger_whose_branch_is_not_there_is_decided_against_and_says_so(scene: Any) -> None:
    await scene.push("shop", f"triggers: [{{cron: {{schedule: '* * * * *'}}, builds: {{branch: gone}}}}]\n{STAGES}")

    told = await scene.tell(CronTicked(time=datetime(2026, 11, 20, 3, 0, tzinfo=UTC)))

    decision = await scene.decision(told)
    assert decision["decision"] == "ignored"
    assert "there is no branch gone" in decision["reason"]


async def test_a_firing_that_was_decided_against_stays_so_however_late_it_comes_again(scene: Any) -> None:
    await scene.push("shop", f"triggers: [{{cron: {{schedule: '* * * * *'}}, builds: {{branch: later}}}}]\n{STAGES}")
    fires = await scene.client.subscribe(Fire.SUBJECT)
    told = await scene.tell(CronTicked(time=datetime(2026, 11, 20, 3, 0, tzinfo=UTC)))
    decision = await scene.decision(told)
    fire = Fire.decode((await fires.next_msg()).data, {})
    scene.repository("shop").commit({".estafette.yaml": STAGES}, branch="later")

    await scene.tell_again(fire, id=firing.message_id(fire))

    await eventually(scene.is_idle)
    assert await scene.count("builds") == 1
    assert await scene.decision(told) == decision


async def test_a_repository_that_is_blocked_is_not_built_and_the_decision_says_so(scene: Any) -> None:
    revision = scene.repository("blocked").commit({".estafette.yaml": STAGES})

    await scene.tell(GitPushed(repository=place("blocked"), ref="refs/heads/main", revision=revision))

    [decision] = await eventually(lambda: scene.told(DecisionMade))
    assert (decision.decision, decision.job_id) == ("refused", None)
    assert "github.com/acme/blocked is blocked" in decision.reason
    assert await scene.count("builds") == 0


async def test_triggers_in_a_circle_end(scene: Any) -> None:
    manifest = f"triggers: [{{pipeline: {{name: self, event: started}}, builds: {{branch: main}}}}]\n{STAGES}"

    await scene.push("shop", manifest)

    await scene.rows("builds", 1 + MOST_HOPS)
    await eventually(scene.is_idle)
    decisions = await scene.told(DecisionMade)
    assert [each.decision for each in decisions if each.subject_kind == "trigger"] == ["started"] * MOST_HOPS + [
        "ignored"
    ]
    assert await scene.count("builds") == 1 + MOST_HOPS


async def test_a_pipeline_keeps_its_triggers_and_targets_while_its_manifest_is_not_valid(scene: Any) -> None:
    await scene.push(
        "shop", f"labels: {{app: shop}}\nreleases: {{tooling: {{triggers: [{{pipeline: {{name: self}}}}]}}}}\n{STAGES}"
    )

    broken = await scene.push("shop", "stages: {build: {}}")

    assert broken["outcome"] == "rejected"
    assert json.loads(broken["labels"]) == [{"key": "app", "value": "shop"}]
    assert json.loads(broken["release_targets"]) == [{"name": "tooling", "actions": []}]
    assert await scene.count("triggers") == 1


async def test_a_pipeline_has_the_triggers_of_its_newest_build(scene: Any) -> None:
    await scene.push("shop", f"triggers: [{{git: {{repository: github.com/acme/lib}}}}]\n{STAGES}")
    await scene.push("shop", f"triggers: [{{cron: {{schedule: '0 3 * * *'}}}}]\n{STAGES}")

    assert [row["kind"] for row in await scene.database.fetch("SELECT kind FROM triggers")] == ["cron"]
    await scene.push("shop", STAGES)
    assert await scene.count("triggers") == 0


async def test_a_build_that_is_repeated_brings_no_older_triggers_back(scene: Any) -> None:
    older = await scene.push("shop", f"triggers: [{{git: {{repository: github.com/acme/lib}}}}]\n{STAGES}")
    await scene.end(Kind.BUILD, older["id"], Outcome.FAILED)
    await scene.until("builds", older["id"], "failed")
    await scene.push("shop", STAGES)

    answer = await scene.ask(Rebuild(repository=place("shop"), version=older["version"]))

    assert answer.error is None
    assert await scene.count("triggers") == 0


async def test_a_named_trigger_tells_of_the_last_build_that_matched_and_keeps_no_job_back(scene: Any) -> None:
    named = f"triggers: [{{name: upstream, pipeline: {{name: github.com/acme/lib, branch: main}}}}]\n{STAGES}"

    first = await scene.push("shop", named)
    await scene.build("lib", f"{VERSION}\n{STAGES}", branch="main")
    second = await scene.push("shop", named.replace("make", "make all"), branch="feature")

    assert [event["fired"] for event in (await scene.request(first["id"])).plan.events] == [True]
    [remembered] = [each for each in (await scene.request(second["id"])).plan.events if not each["fired"]]
    assert (remembered["name"], remembered["pipeline"]["buildVersion"]) == ("upstream", "1.0.1")


async def test_a_release_is_started_on_command_and_asked_again_it_is_the_same(scene: Any) -> None:
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
    scene: Any, changes: dict[str, Any], reason: str
) -> None:
    await scene.build("shop", f"{STAGES}\nreleases: {{tooling: {{{DEPLOY}}}}}")

    answer = await scene.ask(StartRelease(**{"repository": place("shop"), "target": "tooling", **changes}))

    assert answer.error == "invalid"
    assert reason in answer.message
    assert await scene.count("releases") == 0


@pytest.mark.parametrize(
    "command",
    [StartRelease(repository=place("shop"), target="tooling"), StartBot(repository=place("shop"), bot="tidy")],
)
async def test_a_command_that_could_not_be_done_is_answered_the_same_however_late_it_comes_again(
    scene: Any, command: Command
) -> None:
    answer = await scene.ask(command, id="request")
    assert answer.error == "invalid"
    await scene.build("shop", f"{STAGES}\nreleases: {{tooling: {{{DEPLOY}}}}}\nbots: {{tidy: {{{STAGES}}}}}")

    assert await scene.ask(command, id="request") == answer

    assert await scene.count("releases") + await scene.count("bots") == 0
    assert (await scene.ask(command, id="another")).error is None


async def test_a_bot_is_run_on_command(scene: Any) -> None:
    await scene.push("shop", f"{STAGES}\nbots: {{tidy: {{{STAGES}}}}}")

    answer = await scene.ask(StartBot(repository=place("shop"), bot="tidy"))

    [run] = await scene.rows("bots", 1)
    assert (answer.error, answer.job_id) == (None, run["id"])


OWN_PUSH = {"git": "git: {repository: github.com/acme/shop}", "github": "github: {events: [push]}"}


async def pushed_twice(scene: Any, trigger: str, *, message: str = "Change") -> tuple[str, Any]:
    """Push a pipeline with a bot, then push and tell of that with its webhook.

    Returns the id of that delivery, and the run of the bot. The first push may have fired one, too.
    """
    manifest = f"{STAGES}\nbots: {{tidy: {{triggers: [{{{trigger}}}], {STAGES}}}}}"
    await scene.push("shop", manifest)
    await eventually(scene.is_idle)
    before = await scene.count("bots")
    revision = scene.repository("shop").commit({".estafette.yaml": manifest, "README": "more"})
    commit = Commit(message=message, author=Person())
    push = GitPushed(repository=place("shop"), ref="refs/heads/main", revision=revision, commits=(commit,))
    webhook = GithubEvent(kind="push", payload=json.dumps({"repository": {"full_name": "acme/shop"}}).encode())
    await asyncio.gather(
        scene.tell_again(webhook, id="twice"), scene.tell_again(push, id=identity.derive("twice", identity.GIT_PUSH))
    )
    return "twice", (await scene.rows("bots", before + 1))[-1]


@pytest.mark.parametrize("kind", OWN_PUSH)
async def test_a_bot_that_a_push_fires_runs_with_the_build_of_that_push(scene: Any, kind: str) -> None:
    delivery, run = await pushed_twice(scene, OWN_PUSH[kind])

    push = identity.derive(delivery, identity.GIT_PUSH)
    assert run["build_id"] == identity.job_id(place("shop").pipeline, push)


@pytest.mark.parametrize("kind", OWN_PUSH)
async def test_a_bot_that_a_push_without_a_build_fires_runs_with_the_build_before(scene: Any, kind: str) -> None:
    _, run = await pushed_twice(scene, OWN_PUSH[kind], message="Say nothing [skip ci]")

    [build] = await scene.rows("builds", 1)
    assert run["build_id"] == build["id"]


async def test_what_a_push_fires_waits_until_the_push_is_decided_on(scene: Any) -> None:
    """The webhook is heard long before the push that it tells of."""
    manifest = f"{STAGES}\nbots: {{tidy: {{triggers: [{{github: {{events: [push]}}}}], {STAGES}}}}}"
    await scene.push("shop", manifest)
    await eventually(scene.is_idle)
    fires = await scene.client.subscribe(Fire.SUBJECT)
    webhook = GithubEvent(kind="push", payload=json.dumps({"repository": {"full_name": "acme/shop"}}).encode())
    delivery = await scene.tell(webhook)
    await fires.next_msg()
    revision = scene.repository("shop").commit({".estafette.yaml": manifest, "README": "more"})

    push = GitPushed(repository=place("shop"), ref="refs/heads/main", revision=revision)
    await scene.tell_again(push, id=identity.derive(delivery, identity.GIT_PUSH))

    [run] = await scene.rows("bots", 1)
    assert run["build_id"] == (await scene.rows("builds", 2))[1]["id"]


async def test_a_docker_trigger_fires_for_updates_of_what_it_dealt_with_last(scene: Any) -> None:
    await scene.push(
        "shop", f"{STAGES}\nbots: {{tidy: {{triggers: [{{docker: {{image: golang, policy: minor}}}}], {STAGES}}}}}"
    )

    for tag in ("1.21.0", "1.22.0", "1.22.0", "2.0.0", "1.22.1"):
        await scene.tell(RegistryPushed(image="golang", tag=tag))
        await eventually(scene.is_idle)

    tags = [json.loads(run["trigger_events"])[0]["docker"]["tag"] for run in await scene.rows("bots", 2)]
    assert tags == ["1.22.0", "1.22.1"]
