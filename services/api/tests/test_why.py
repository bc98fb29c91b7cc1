"""What the API answers to why there is a job or none."""

from typing import Any

import pytest
from estafette_common.bus import identity
from estafette_common.bus.messages.events import GithubEvent

PIPELINE = "/api/pipelines/github.com/acme/shop"
REVISION = f"{1:040x}"
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


async def decide(
    scene: Any,
    *,
    cause: str,
    decision: str,
    reason: str,
    about: str = "push",
    decision_id: str = "",
    job: str | None = None,
    revision: str = REVISION,
) -> str:
    """Write down a decision as the planner does; return its id."""
    decision_id = decision_id or identity.derive(cause, "decision")
    await scene.database.pool.execute(
        """
        INSERT INTO decisions (
            id, cause_id, subject_kind, decision, reason, source, owner, name, ref, revision, job_kind, job_id
        ) VALUES ($1, $2, $3, $4, $5, 'github.com', 'acme', 'shop', 'refs/heads/main', $6, $7, $8)
        """,
        decision_id, cause, about, decision, reason, revision, "build" if job else None, job,
    )  # fmt: skip
    return decision_id


def said(answer: Any) -> list[tuple[str, str]]:
    return [(each["decision"], each["reason"]) for each in answer["items"]]


async def test_a_revision_tells_why_it_was_not_built(scene: Any) -> None:
    await decide(scene, cause="a", decision="ignored", reason="the message of the head commit says [skip ci]")
    await decide(scene, cause="b", decision="started", reason="push to main", revision="f" * 40)

    whole = await scene.person.get(f"{PIPELINE}/decisions?filter[revision]={REVISION}")
    short = await scene.person.get(f"{PIPELINE}/decisions?filter[revision]={REVISION[:12]}")

    assert said(whole) == said(short) == [("ignored", "the message of the head commit says [skip ci]")]


async def test_a_revision_tells_what_its_build_waits_for(scene: Any) -> None:
    await scene.build("7", status="pending")
    await scene.database.pool.execute("UPDATE builds SET waits_for = 'waits for build 1.0.0'")
    await decide(scene, cause="a", decision="waiting", reason="waits for build 1.0.0", job="7")

    [told] = (await scene.person.get(f"{PIPELINE}/decisions?filter[revision]={REVISION}"))["items"]

    assert told["job"] == {
        "kind": "build", "id": "7", "version": "1.0.1", "runs": "", "action": "", "status": "pending", "outcome": None,
        "reason": "", "waitsFor": "waits for build 1.0.0",
    }  # fmt: skip


@pytest.mark.parametrize("revision", ["", "abc", "main", "%25", "g" * 40, "a" * 41])
async def test_what_is_no_revision_is_refused(scene: Any, revision: str) -> None:
    async with scene.session.get(f"{scene.url}{PIPELINE}/decisions?filter[revision]={revision}") as response:
        assert response.status == 400


async def test_a_delivery_tells_all_that_it_led_to(scene: Any) -> None:
    await scene.build("7")
    push = identity.derive(DELIVERY, "git-push")
    await decide(scene, cause=push, decision="started", reason="push to main", job="7")
    end_of_build = identity.derive("7", "finished")
    firing = identity.derive(end_of_build, "fire/github.com/acme/shop/x")
    await decide(
        scene, cause=end_of_build, decision_id=firing, about="trigger", decision="started", reason="fired", job="8"
    )
    start_of_fired = identity.derive(firing, "started")
    await decide(scene, cause=start_of_fired, about="trigger", decision="ignored", reason="went no further")
    await decide(
        scene, cause="a newer push", decision_id="s", about="build", decision="superseded", reason="by 9", job="7"
    )
    await decide(scene, cause="something else", decision="started", reason="unrelated", job="9")

    told = await scene.person.get(f"/api/deliveries/{DELIVERY}")

    assert {reason for _, reason in said(told)} == {"push to main", "fired", "went no further", "by 9"}


async def test_a_minute_of_the_clock_tells_what_it_led_to(scene: Any) -> None:
    reason = "2026-03-04 14:15+00:00 was missed, and is not made up for"
    await decide(scene, cause="tick/2026-03-04T14:15Z", about="trigger", decision="ignored", reason=reason)

    told = await scene.person.get("/api/deliveries/tick%2F2026-03-04T14:15Z")

    assert said(told) == [("ignored", reason)]


async def test_a_delivery_that_led_to_nothing_was_heard(scene: Any) -> None:
    await scene.publisher.publish(GithubEvent(kind="star", payload=b"{}"), id="another")
    await scene.publisher.publish(GithubEvent(kind="issues", payload=b"{}"), id=DELIVERY)

    told = await scene.person.get(f"/api/deliveries/{DELIVERY}")

    assert (told["heard"]["subject"], told["items"]) == ("event.github.issues", [])


async def test_a_delivery_that_never_came_is_not_found(scene: Any) -> None:
    async def answer() -> tuple[int, str]:
        async with scene.session.get(f"{scene.url}/api/deliveries/{DELIVERY}") as response:
            return response.status, (await response.json())["message"]

    assert await answer() == (404, f"delivery {DELIVERY} was never heard of, or is no longer kept")
