"""`self`, names and the written form of triggers."""

from typing import Any

import pytest
from estafette_common.triggers import documents
from estafette_common.triggers.model import (
    BuildAction,
    CronTrigger,
    Filter,
    GithubTrigger,
    GitTrigger,
    PipelineTrigger,
    ReleaseAction,
    ReleaseTrigger,
    RunAction,
    Trigger,
)
from estafette_common.triggers.named import LastBuild, LastRelease, remembered
from estafette_common.triggers.own_pipeline import all_triggers, replace_self

OWN = "github.com/acme/shared"


@pytest.mark.parametrize(
    ("written", "replaced"),
    [
        (PipelineTrigger("self"), PipelineTrigger(OWN)),
        (ReleaseTrigger("self", "self"), ReleaseTrigger(OWN, "self")),
        (GithubTrigger(("push",), "self"), GithubTrigger(("push",), OWN)),
        (GitTrigger("self"), GitTrigger("self")),
        (PipelineTrigger("github.com/acme/other"), PipelineTrigger("github.com/acme/other")),
    ],
)
def test_self_is_the_own_pipeline(written: Filter, replaced: Filter) -> None:
    assert replace_self(Trigger(written, BuildAction()), OWN).filter == replaced


def test_triggers_are_collected_in_the_order_of_the_reference() -> None:
    build, release, bot = (
        Trigger(CronTrigger("* * * * *"), action) for action in (BuildAction(), ReleaseAction(), RunAction())
    )

    assert all_triggers([build], [release], [bot], pipeline=OWN) == (build, release, bot)


def test_a_named_trigger_remembers_the_last_that_matched() -> None:
    build = PipelineTrigger(OWN, "master | main", "finished", "succeeded")
    release = ReleaseTrigger(OWN, "live", "finished", "succeeded")

    assert remembered(Trigger(build, BuildAction(), "base")) == LastBuild("base", OWN, ("master", "main"))
    assert remembered(Trigger(release, BuildAction(), "base")) == LastRelease("base", OWN, "live")


@pytest.mark.parametrize(
    "trigger",
    [
        Trigger(PipelineTrigger(OWN, "main", "finished"), BuildAction()),
        Trigger(PipelineTrigger(OWN, "main", "started"), BuildAction(), "base"),
        Trigger(CronTrigger("* * * * *"), BuildAction(), "nightly"),
    ],
)
def test_other_triggers_remember_nothing(trigger: Trigger) -> None:
    assert remembered(trigger) is None


@pytest.mark.parametrize(
    "document",
    [
        {"name": "n", "cron": {"schedule": "* * * * *", "timezone": "Europe/Amsterdam"}, "builds": {"branch": "main"}},
        {"docker": {"image": "golang", "policy": "force", "matchTag": True, "matchPreRelease": False}, "runs": {}},
        {"github": {"events": ["push"], "repository": "self"}, "releases": {"target": "live", "version": "same"}},
        {"pipeline": {"name": "self"}, "git": {"repository": "x"}},
    ],
)
def test_a_trigger_is_written_as_it_was_read(document: dict[str, Any]) -> None:
    assert documents.write(documents.read(document)) == document
