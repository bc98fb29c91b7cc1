"""Which events fire a trigger, and what people are told about it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from estafette_common.triggers.docker_policies import ImageTag
from estafette_common.triggers.events import (
    CronEvent,
    DockerEvent,
    Event,
    GitEvent,
    GithubEvent,
    ManualEvent,
    PipelineEvent,
    PubSubEvent,
    ReleaseEvent,
)
from estafette_common.triggers.matching import Match, matches
from estafette_common.triggers.model import (
    BuildAction,
    CronTrigger,
    DockerTrigger,
    Filter,
    GithubTrigger,
    GitTrigger,
    PipelineTrigger,
    PubSubTrigger,
    ReleaseTrigger,
    Trigger,
)

BUILT = PipelineEvent(
    repo_source="github.com",
    repo_owner="acme",
    repo_name="shared",
    repo_branch="main",
    status="succeeded",
    event="finished",
)
RELEASED = ReleaseEvent(
    repo_source="github.com",
    repo_owner="acme",
    repo_name="shared",
    target="live",
    status="succeeded",
    event="finished",
)
AFTER_BUILD = PipelineTrigger(name="github.com/acme/shared", branch="main", event="finished", status="succeeded")
AFTER_RELEASE = ReleaseTrigger(name="github.com/acme/shared", target="live", event="finished", status="succeeded")
ON_IMAGE = DockerTrigger(image="acme/base", policy="minor")


def decide(filter: Filter, event: Event) -> Match:
    return matches(Trigger(filter, BuildAction("main")), event)


def test_a_decision_that_fires_says_for_what() -> None:
    assert decide(AFTER_BUILD, BUILT) == Match(
        fires=True, reason="build of github.com/acme/shared on branch main: finished, succeeded"
    )


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (replace(BUILT, repo_name="other"), "pipeline 'github.com/acme/other' is not 'github.com/acme/shared'"),
        (replace(BUILT, event="started"), "event 'started' does not match 'finished'"),
        (replace(BUILT, status="canceled"), "status 'canceled' does not match 'succeeded'"),
        (replace(BUILT, repo_branch="dev"), "branch 'dev' does not match 'main'"),
    ],
)
def test_a_decision_that_does_not_fire_says_what_differs(event: PipelineEvent, reason: str) -> None:
    assert decide(AFTER_BUILD, event) == Match(fires=False, reason=reason)


def test_a_started_build_has_no_status_to_compare() -> None:
    started = replace(BUILT, event="started", status="running")

    assert decide(replace(AFTER_BUILD, event="started", status="failed"), started).fires


def test_a_release_is_told_by_its_target() -> None:
    assert decide(AFTER_RELEASE, RELEASED).fires
    assert decide(AFTER_RELEASE, replace(RELEASED, target="sandbox")).reason == (
        "target 'sandbox' does not match 'live'"
    )


def test_a_broken_pattern_does_not_match_and_says_so() -> None:
    for pattern in ("(", "!~ (", r"\C"):
        decision = decide(replace(AFTER_BUILD, branch=pattern), BUILT)

        assert not decision.fires
        assert "is not a valid regular expression" in decision.reason


def test_a_trigger_waits_for_events_of_its_own_kind() -> None:
    assert decide(AFTER_BUILD, RELEASED).reason == "a pipeline trigger does not wait for such an event"
    assert not decide(CronTrigger("* * * * *"), ManualEvent("jane@acme.example")).fires


def test_a_push_is_told_by_repository_and_branch() -> None:
    on_push = GitTrigger(repository="github.com/acme/shared", branch="release/.+", event="push")

    assert decide(on_push, GitEvent("push", "GitHub.com/Acme/Shared", "release/7")).fires
    assert not decide(on_push, GitEvent("push", "github.com/acme/shared", "main")).fires


def test_a_webhook_fires_for_the_events_that_are_listed() -> None:
    on_issues = GithubTrigger(events=("issues", "push"), repository="github.com/acme/shared")

    assert decide(on_issues, GithubEvent("issues", "github.com/acme/shared")).fires
    assert decide(on_issues, GithubEvent("fork", "github.com/acme/shared")).reason == (
        "event 'fork' is none of issues, push"
    )
    assert not decide(on_issues, GithubEvent("issues", "github.com/Acme/shared")).fires


def test_a_webhook_of_a_whole_installation_fires_for_each_repository() -> None:
    assert decide(GithubTrigger(("installation",), "github.com/acme/shared"), GithubEvent("installation")).fires


def test_a_topic_does_not_know_the_prefixes_of_other_patterns() -> None:
    assert decide(PubSubTrigger(".+-dev", "wake.+"), PubSubEvent("acme-dev", "wakeups")).fires
    assert not decide(PubSubTrigger("!~ x", "t"), PubSubEvent("y", "t")).fires


def test_a_schedule_says_the_minute_it_was_asked_about() -> None:
    nine = CronEvent(datetime(2026, 7, 1, 7, 0, 12, tzinfo=UTC))

    assert decide(CronTrigger("0 9 * * *", "Europe/Amsterdam"), nine) == Match(
        fires=True, reason="2026-07-01 07:00+00:00 is a minute of '0 9 * * *' in Europe/Amsterdam"
    )
    assert decide(CronTrigger("0 9 * * *"), nine).reason == "2026-07-01 07:00+00:00 is not a minute of '0 9 * * *'"


@pytest.mark.parametrize(
    ("trigger", "reason"),
    [
        (CronTrigger("0 9 * *"), "cron.schedule: '0 9 * *' has 4 fields instead of 5"),
        (
            CronTrigger("0 9 * * *", "Amsterdam"),
            "cron.timezone: 'Amsterdam' is no time zone; write a name such as Europe/Amsterdam",
        ),
    ],
)
def test_a_broken_schedule_does_not_fire_and_says_so(trigger: CronTrigger, reason: str) -> None:
    assert decide(trigger, CronEvent(datetime(2026, 7, 1, tzinfo=UTC))) == Match(fires=False, reason=reason)


def test_a_new_tag_fires_as_the_policy_says() -> None:
    pushed = DockerEvent(image="docker.io/acme/base", tag="1.3.0", handled=ImageTag("1.2.0"))

    assert decide(ON_IMAGE, pushed) == Match(fires=True, reason="'1.3.0' is an update of '1.2.0'")
    assert decide(ON_IMAGE, replace(pushed, tag="2.0.0")).reason == "'2.0.0' is more than a minor update"
    assert decide(ON_IMAGE, replace(pushed, image="acme/other")).reason == "image 'acme/other' is not 'acme/base'"


def test_an_image_without_policy_never_fires() -> None:
    pushed = DockerEvent("push", "golang", "1.22", handled=ImageTag("1.21"))

    assert not decide(DockerTrigger(image="golang", tag="1.22", event="push"), pushed).fires


def test_the_first_tag_seen_is_only_noted() -> None:
    first = DockerEvent(image="acme/base", tag="1.3.0")

    assert decide(ON_IMAGE, first).reason == "'1.3.0' is the first tag seen; later ones are compared with it"
    assert decide(replace(ON_IMAGE, fire_on_first=True), first).fires
    assert not decide(replace(ON_IMAGE, fire_on_first=True), replace(first, tag="nightly")).fires


def test_a_written_tag_is_where_updates_start() -> None:
    from_tag = replace(ON_IMAGE, tag="1.2.0")

    assert decide(from_tag, DockerEvent(image="acme/base", tag="1.3.0")).fires
    assert not decide(from_tag, DockerEvent(image="acme/base", tag="1.3.0", handled=ImageTag("1.3.0"))).fires
