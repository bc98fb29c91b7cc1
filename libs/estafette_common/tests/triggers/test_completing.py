"""Defaults of triggers."""

import pytest
from estafette_common.triggers.completing import complete
from estafette_common.triggers.model import (
    BUILD,
    BuildAction,
    CronTrigger,
    DockerTrigger,
    Filter,
    GithubTrigger,
    GitTrigger,
    Owner,
    PipelineTrigger,
    ReleaseAction,
    ReleaseTrigger,
    RunAction,
    WrittenTrigger,
)

LIVE = Owner("release", "live")


@pytest.mark.parametrize(
    ("written", "completed"),
    [
        (PipelineTrigger(name="x"), PipelineTrigger("x", branch="master|main", event="finished", status="succeeded")),
        (PipelineTrigger("x", "dev", "started", "failed"), PipelineTrigger("x", "dev", "started", "failed")),
        (ReleaseTrigger("x", "live"), ReleaseTrigger("x", "live", event="finished", status="succeeded")),
        (GitTrigger("x"), GitTrigger("x", branch="master|main", event="push")),
        (GithubTrigger(("push",)), GithubTrigger(("push",), "self")),
        (DockerTrigger(), DockerTrigger()),
        (CronTrigger("* * * * *"), CronTrigger("* * * * *")),
    ],
)
def test_a_filter_gets_its_defaults(written: Filter, completed: Filter) -> None:
    assert complete(WrittenTrigger((written,)), BUILD).filters == (completed,)


def test_the_place_of_a_trigger_gives_its_action() -> None:
    trigger = WrittenTrigger((CronTrigger("* * * * *"),))

    assert complete(trigger, BUILD, default_branch="trunk").actions == (BuildAction("trunk"),)
    assert complete(trigger, LIVE).actions == (ReleaseAction("live", version="latest"),)
    assert complete(trigger, Owner("bot", "sweeper")).actions == (RunAction("sweeper", "master"),)


def test_the_owner_overrides_what_is_written() -> None:
    trigger = WrittenTrigger((CronTrigger("* * * * *"),), (ReleaseAction("other", "deploy", "1.2"), RunAction("other")))

    assert complete(trigger, LIVE).actions == (ReleaseAction("live", "deploy", "1.2"), RunAction("other"))
    assert complete(trigger, Owner("bot", "sweeper")).actions[1] == RunAction("sweeper", "master")


@pytest.mark.parametrize("filter", [PipelineTrigger(name="self"), ReleaseTrigger(name="self", target="x")])
def test_after_the_own_pipeline_the_same_version_is_released(filter: Filter) -> None:
    assert complete(WrittenTrigger((filter,)), LIVE).actions == (ReleaseAction("live", version="same"),)
