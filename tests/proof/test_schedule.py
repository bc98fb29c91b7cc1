"""What a seed decides: pushes and faults."""

import math
from collections import Counter
from itertools import pairwise

import pytest

from tests.proof import pushes
from tests.proof.schedule import LONG, QUICK, Fault, Kind, Scale, schedule

SEEDS = range(30)


@pytest.fixture(params=[QUICK, LONG], ids=["quick", "long"])
def scale(request: pytest.FixtureRequest) -> Scale:
    found: Scale = request.param
    return found


def test_a_seed_gives_the_same_faults_and_pushes_again(scale: Scale) -> None:
    assert schedule(7, scale) == schedule(7, scale)
    assert pushes.plan(7, builds=100, seconds=100) == pushes.plan(7, builds=100, seconds=100)


def test_another_seed_gives_others(scale: Scale) -> None:
    assert schedule(7, scale) != schedule(8, scale)
    assert pushes.plan(7, builds=100, seconds=100) != pushes.plan(8, builds=100, seconds=100)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_of_fault_is_injected(scale: Scale, seed: int) -> None:
    kinds = Counter(fault.kind for fault in schedule(seed, scale))

    assert set(kinds) == set(Kind) - ({Kind.NATS_LOSS} if scale.nats_servers == 1 else set())


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_come_in_order_and_are_over_in_time(scale: Scale, seed: int) -> None:
    faults = schedule(seed, scale)

    assert all(one.at < other.at for one, other in pairwise(faults))
    assert all(fault.at + fault.lasts <= scale.seconds for fault in faults)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_hit_while_it_is_hit(scale: Scale, seed: int) -> None:
    faults = schedule(seed, scale)

    for one in faults:
        for other in faults:
            if one.at < other.at < one.until and _same(one, other):
                pytest.fail(f"{one} and {other}")


def test_at_most_one_server_of_a_cluster_is_away() -> None:
    for seed in SEEDS:
        servers = [fault for fault in schedule(seed, LONG) if fault.target == "nats"]
        assert all(one.until <= other.at for one, other in pairwise(servers))


def _same(one: Fault, other: Fault) -> bool:
    return one.target == other.target and (one.replica == other.replica or Kind.KILL_ALL in {one.kind, other.kind})


@pytest.mark.parametrize("builds", [100, 300])
def test_pushes_make_as_many_builds_as_asked_for_and_are_of_every_kind(builds: int) -> None:
    plan = pushes.plan(3, builds=builds, seconds=60)

    assert sum(push.outcome != "" for push in plan.pushes) == builds
    assert {push.outcome for push in plan.pushes} == {"", "succeeded", "failed", "rejected"}
    assert sum(push.again_after is not None for push in plan.pushes) == math.ceil(len(plan.pushes) * pushes.REPEATED)
    assert len(plan.malformed) == math.ceil(len(plan.pushes) * pushes.MALFORMED)
    assert all(0 <= push.at <= 60 for push in plan.pushes)


def test_no_line_of_a_stage_is_there_twice_but_for_empty_ones() -> None:
    """So that one that is doubled is known from one that another push prints."""
    plan = pushes.plan(3, builds=100, seconds=60)

    lines = Counter(
        line for push in plan.pushes for name, stage in push.stages.items() if "#" not in name for line in stage.lines
    )
    tails = {line for push in plan.pushes for line in push.stages.get("tidy", pushes.Stage("")).lines}
    repeated = {line for line, count in lines.items() if count > 1 and not line.startswith("failed with exit code")}
    assert repeated - tails <= {""}


def test_what_the_builder_says_itself_can_be_told_apart() -> None:
    plan = pushes.plan(3, builds=100, seconds=60)

    lines = [line for push in plan.pushes for stage in push.stages.values() for line in stage.lines]
    assert not any(line.startswith("\x1b") for line in lines)
    assert not any("\n" in line or "\r" in line for line in lines)
