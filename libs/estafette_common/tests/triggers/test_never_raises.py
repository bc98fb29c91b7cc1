"""Whatever people write and whatever comes in, a trigger decides."""

from dataclasses import fields
from datetime import datetime, timedelta, timezone
from typing import Any

from estafette_common.triggers import checking
from estafette_common.triggers.completing import complete
from estafette_common.triggers.docker_policies import ImageTag
from estafette_common.triggers.events import (
    BitbucketEvent,
    CronEvent,
    DockerEvent,
    Event,
    GitEvent,
    GithubEvent,
    PipelineEvent,
    PubSubEvent,
    PubSubMessage,
    ReleaseEvent,
)
from estafette_common.triggers.matching import matches
from estafette_common.triggers.model import FILTERS, BuildAction, Filter, Owner, Trigger, WrittenTrigger
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.one_of(
    st.text(alphabet=st.characters(), max_size=60),
    st.sampled_from(["", "x", "x/x/x", "!~ x", "=~(", "finished", "* * * * *", "Europe/Amsterdam", "force", "1.2"]),
    st.sampled_from(["glob:", "regexp:", "@every ", "!~"]).flatmap(
        lambda prefix: st.text(alphabet=st.characters(), max_size=30).map(lambda text: prefix + text)
    ),
)
VALUES: dict[type, st.SearchStrategy[Any]] = {
    str: TEXTS,
    bool: st.booleans(),
    int: st.integers(0, 200),
    datetime: st.datetimes(
        timezones=st.one_of(
            st.none(), st.timezones(), st.integers(-1439, 1439).map(lambda offset: timezone(timedelta(minutes=offset)))
        )
    ),
    PubSubMessage: st.just(PubSubMessage()),
}
EVENTS = (PipelineEvent, ReleaseEvent, GitEvent, DockerEvent, CronEvent, PubSubEvent, GithubEvent, BitbucketEvent)


def any_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    others: dict[Any, st.SearchStrategy[Any]] = {
        tuple[str, ...]: st.lists(TEXTS, max_size=3).map(tuple),
        ImageTag | None: st.one_of(st.none(), st.builds(ImageTag, TEXTS, TEXTS)),
    }
    return st.builds(kind, **{field.name: (VALUES | others)[field.type] for field in fields(kind)})


ANY_FILTER = st.one_of([any_of(kind) for kind in FILTERS.values()])
OF_ONE_KIND = st.one_of(
    [st.tuples(any_of(kind), any_of(event)) for kind, event in zip(FILTERS.values(), EVENTS, strict=True)]
)


@given(OF_ONE_KIND)
def test_a_trigger_decides_on_any_event_it_waits_for(pair: tuple[Filter, Event]) -> None:
    assert matches(Trigger(pair[0], BuildAction()), pair[1]).reason


@given(ANY_FILTER, st.one_of([any_of(kind) for kind in EVENTS]))
def test_a_trigger_decides_on_any_other_event(filter: Filter, event: Event) -> None:
    assert matches(Trigger(filter, BuildAction()), event).reason


@given(ANY_FILTER)
def test_any_trigger_is_checked(filter: Filter) -> None:
    for owner in (Owner("build"), Owner("release", "live"), Owner("bot", "sweeper")):
        checking.check(complete(WrittenTrigger((filter,)), owner), owner)
