"""The oracle finds whatever is lost, doubled or wrong, and nothing else."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from tests.proof.oracle import Build, DeadLetter, Observed, Schedule, Sent, Step, judge
from tests.proof.pushes import Push, Stage

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

PUSHES = [
    Push(
        number=0,
        repository="shop",
        at=0,
        files={},
        outcome="succeeded",
        stages={"build": Stage("SUCCEEDED", ("a", "", "b"))},
        state="success",
        release="production",
    ),
    Push(number=1, repository="shop", at=0, files={}, outcome=""),
]
SENT = Sent(
    pushes=[("delivery-0", "r0", PUSHES[0]), ("delivery-1", "r1", PUSHES[1])],
    refused=[("shop", "r2")],
    poison=["poison-0"],
    schedule=Schedule(
        repository="nightly",
        after=NOON + timedelta(seconds=30),
        since=NOON,
        until=NOON + 2 * MINUTE,
        at_most=NOON + 4 * MINUTE,
    ),
)


def tick(number: int, minutes: int) -> Build:
    return Build(
        id=f"n{number}",
        repository="nightly",
        revision="n",
        number=number,
        status="succeeded",
        outcome="succeeded",
        minute=NOON + minutes * MINUTE,
        steps=[],
    )


BUILD = Build(
    id="7",
    repository="shop",
    revision="r0",
    number=1,
    status="succeeded",
    outcome="succeeded",
    minute=None,
    steps=[Step(name="build", status="SUCCEEDED", lines=["a", "", "b"])],
)
GOOD = Observed(
    builds=[BUILD, tick(1, 1), tick(2, 2), tick(3, 3)],
    releases=[("shop", "production", 1, "succeeded")],
    states={
        "7": ["pending", "success"],
        "n1": ["pending", "success"],
        "n2": ["pending", "success"],
        "n3": ["success"],
    },
    dead=[DeadLetter(id="poison-0", consumer="planner", reason="not understood")],
    stored={"EVENTS delivery-0": 1, "EVENTS delivery-1": 1},
)


def with_build(**changes: object) -> Observed:
    return dataclasses.replace(GOOD, builds=[dataclasses.replace(BUILD, **changes), *GOOD.builds[1:]])  # type: ignore[arg-type]  # any field


def with_lines(*lines: str) -> Observed:
    return with_build(steps=[Step(name="build", status="SUCCEEDED", lines=lines)])


def changed(**changes: object) -> Observed:
    return dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]  # any field


def test_what_is_as_it_was_sent_is_clean() -> None:
    verdict = judge(SENT, GOOD)

    assert verdict.clean, verdict
    assert (verdict.builds, verdict.lines) == (4, 3)


LOST = {
    "a build": changed(builds=GOOD.builds[1:]),
    "a stage": with_build(steps=[]),
    "a line": with_lines("a", "b"),
    "a final status": changed(states={**GOOD.states, "7": ["pending"]}),
    "a release": changed(releases=[]),
    "a number": with_build(number=2),
    "a minute": changed(builds=[BUILD, tick(1, 1), tick(2, 3)]),
    "the last minute": changed(builds=[BUILD, tick(1, 1)]),
    "an end": with_build(status="running"),
    "a dead letter": changed(dead=[]),
    "an event": changed(stored={"EVENTS delivery-0": 1}),
}
DOUBLED = {
    "a build": changed(builds=[*GOOD.builds, dataclasses.replace(BUILD, id="8", number=2)]),
    "a number": changed(builds=[*GOOD.builds, dataclasses.replace(BUILD, id="8")]),
    "a stage": with_build(steps=[*BUILD.steps, *BUILD.steps]),
    "a line": with_lines("a", "a", "", "b"),
    "a final status": changed(states={**GOOD.states, "7": ["pending", "success", "success"]}),
    "a release": changed(releases=[*GOOD.releases, *GOOD.releases]),
    "a minute": changed(builds=[*GOOD.builds, tick(4, 3)]),
    "a dead letter": changed(dead=[*GOOD.dead, *GOOD.dead]),
    "an event": changed(stored={**GOOD.stored, "EVENTS delivery-0": 2}),
}
WRONG = {
    "an outcome": with_build(outcome="lost", status="failed"),
    "a status of a stage": with_build(steps=[dataclasses.replace(BUILD.steps[0], status="FAILED")]),
    "a line": with_lines("a", "", "b", "c"),
    "the order of lines": with_lines("b", "", "a"),
    "a final status": changed(states={**GOOD.states, "7": ["pending", "failure"]}),
    "a status after the final one": changed(states={**GOOD.states, "7": ["success", "pending"]}),
    "a release": changed(releases=[("shop", "production", 1, "failed")]),
    "a build without a manifest": changed(
        builds=[*GOOD.builds, dataclasses.replace(BUILD, id="8", number=2, revision="r1")]
    ),
    "a build of what was refused": changed(
        builds=[*GOOD.builds, dataclasses.replace(BUILD, id="8", number=2, revision="r2")]
    ),
    "a build that nobody pushed": changed(
        builds=[*GOOD.builds, dataclasses.replace(BUILD, id="8", number=2, revision="r9")]
    ),
    "a minute that no clock showed": changed(
        builds=[*GOOD.builds, tick(4, 4), tick(5, 5)],
        states={**GOOD.states, "n4": ["success"], "n5": ["success"]},
    ),
    "a dead letter": changed(dead=[*GOOD.dead, DeadLetter(id="r0", consumer="planner", reason="gave up")]),
}


@pytest.mark.parametrize(
    ("observed", "kind"),
    [
        *(pytest.param(each, "lost", id=f"lost {name}") for name, each in LOST.items()),
        *(pytest.param(each, "doubled", id=f"doubled {name}") for name, each in DOUBLED.items()),
        *(pytest.param(each, "wrong", id=f"wrong {name}") for name, each in WRONG.items()),
    ],
)
def test_is_found(observed: Observed, kind: str) -> None:
    found: list[str] = getattr(judge(SENT, observed), kind)

    assert found
