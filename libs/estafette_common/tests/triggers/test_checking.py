"""What is wrong with triggers, all of it at once."""

import pytest
from estafette_common.triggers.checking import InvalidTriggerError, check, checked
from estafette_common.triggers.model import (
    BUILD,
    BuildAction,
    CronTrigger,
    DockerTrigger,
    Filter,
    GitTrigger,
    Owner,
    PipelineTrigger,
    PubSubTrigger,
    ReleaseAction,
    ReleaseTrigger,
    RunAction,
    Trigger,
    WrittenTrigger,
)

NIGHTLY = CronTrigger("0 3 * * *")


def rules(trigger: WrittenTrigger, owner: Owner = BUILD) -> list[tuple[str, str]]:
    return [(finding.rule, finding.severity) for finding in check(trigger, owner)]


def test_a_valid_trigger_has_one_filter_and_the_action_of_its_owner() -> None:
    written = WrittenTrigger((NIGHTLY,), (BuildAction("main"), RunAction("x")), "nightly")

    assert checked(written, BUILD) == Trigger(NIGHTLY, BuildAction("main"), "nightly")


def test_everything_wrong_is_told_at_once() -> None:
    trigger = WrittenTrigger((ReleaseTrigger(event="done"), PubSubTrigger()), (ReleaseAction("x"),))

    assert [rule for rule, _ in rules(trigger)] == [
        "release_event",
        "release_name",
        "release_target",
        "pubsub_project",
        "pubsub_topic",
        "trigger_multiple_types",
        "build_trigger_without_action",
        "build_trigger_with_release_action",
    ]
    with pytest.raises(InvalidTriggerError, match=r"release\.event: 'done'; write started or finished"):
        checked(trigger, BUILD)


def test_a_finding_says_where_and_what_to_write() -> None:
    [finding] = check(
        WrittenTrigger((PipelineTrigger("x", "main", "finished", "canceled"),), (BuildAction("main"),)), BUILD
    )

    assert finding.path == "pipeline.status"
    assert finding.message == "pipeline.status: 'canceled'; write succeeded or failed"


@pytest.mark.parametrize(
    ("filter", "rule"),
    [
        (PipelineTrigger("x", "(", "started"), "trigger_pattern"),
        (GitTrigger("self", "main", "push"), "git_self"),
        (DockerTrigger("golang"), "docker_policy"),
    ],
)
def test_what_the_reference_accepts_and_never_fires_is_a_warning(filter: Filter, rule: str) -> None:
    assert rules(WrittenTrigger((filter,), (BuildAction("main"),))) == [(rule, "warning")]


@pytest.mark.parametrize(
    ("filter", "rule"),
    [
        (CronTrigger("0 3 * * *", "Moon/Base"), "cron_timezone"),
        (CronTrigger("0 3 * * *", missed="twice"), "cron_missed"),
        (DockerTrigger("golang", policy="newest"), "docker_policy"),
        (DockerTrigger(policy="minor"), "docker_image"),
    ],
)
def test_what_the_reference_does_not_know_must_be_right(filter: Filter, rule: str) -> None:
    assert rules(WrittenTrigger((filter,), (BuildAction("main"),))) == [(rule, "error")]


def test_actions_that_have_no_effect_are_told() -> None:
    every = WrittenTrigger((NIGHTLY,), (BuildAction("x"), ReleaseAction("live"), RunAction("sweeper")))

    assert rules(every, BUILD) == [
        ("build_trigger_with_release_action", "error"),
        ("trigger_stray_action", "warning"),
    ]
    assert rules(every, Owner("release", "live")) == [
        ("release_trigger_with_build_action", "error"),
        ("trigger_stray_action", "warning"),
    ]
    assert rules(every, Owner("bot", "sweeper")) == [("trigger_stray_action", "warning")] * 2
    assert checked(every, Owner("bot", "sweeper")).action == RunAction("sweeper")
