from dataclasses import replace
from itertools import pairwise

import pytest
from estafette_common.jobs.lifecycle import Kind
from estafette_common.manifest.concurrency import Policy
from estafette_common.manifest.model import Concurrency, Manifest
from hypothesis import given
from hypothesis import strategies as st
from manifest_planner.concurrency import Admit, Decision, Job, Limits, Rules, Supersede, Wait, settle

ONE = Limits()
QUEUES = [Policy.QUEUE_ALL, Policy.QUEUE_LATEST, Policy.CANCEL_SUPERSEDED]


def build(
    name: str, policy: Policy = Policy.QUEUE_ALL, *, running: bool = False, group: str = "main", canceling: bool = False
) -> Job:
    return Job(id=name, name=f"build {name}", group=group, policy=policy, admitted=running, canceling=canceling)


def kinds(decisions: list[Decision]) -> dict[str, str]:
    return {each.id: type(each).__name__ for each in decisions}


@pytest.mark.parametrize("policy", Policy)
def test_the_first_build_begins(policy: Policy) -> None:
    assert settle([build("1", policy)], ONE) == [Admit("1")]


@pytest.mark.parametrize("policy", Policy)
def test_builds_of_different_groups_do_not_know_each_other(policy: Policy) -> None:
    builds = [build("1", policy, group="main", running=True), build("2", policy, group="feature")]

    assert settle(builds, ONE) == [Admit("2")]


def test_a_queue_lets_one_begin_after_the_other() -> None:
    builds = [build("1", running=True), build("2"), build("3")]

    assert settle(builds, ONE) == [
        Wait("2", "waits until build 1 has ended"),
        Wait("3", "waits for build 2, which came before it"),
    ]
    assert kinds(settle(builds[1:], ONE)) == {"2": "Admit", "3": "Wait"}


def test_of_those_that_wait_only_the_latest_stays() -> None:
    latest = Policy.QUEUE_LATEST
    builds = [build("1", latest, running=True), build("2", latest), build("3", latest)]

    assert settle(builds, ONE) == [
        Supersede("2", "superseded by build 3"),
        Wait("3", "waits until build 1 has ended"),
    ]


def test_a_newer_build_cancels_all_that_it_supersedes_and_begins_when_they_are_gone() -> None:
    cancel = Policy.CANCEL_SUPERSEDED
    builds = [build("1", cancel, running=True), build("2", cancel), build("3", cancel)]

    assert kinds(settle(builds, ONE)) == {"1": "Supersede", "2": "Supersede", "3": "Wait"}
    ending = build("1", cancel, running=True, canceling=True)
    assert kinds(settle([ending, build("3", cancel)], ONE)) == {"3": "Wait"}
    assert kinds(settle([build("3", cancel)], ONE)) == {"3": "Admit"}


def test_builds_in_parallel_all_begin() -> None:
    builds = [build("1", Policy.PARALLEL, running=True), build("2", Policy.PARALLEL), build("3", Policy.PARALLEL)]

    assert settle(builds, ONE) == [Admit("2"), Admit("3")]


def test_a_group_may_run_more_than_one() -> None:
    builds = [build("1", running=True), build("2"), build("3")]

    assert kinds(settle(builds, Limits(of_a_group=2))) == {"2": "Admit", "3": "Wait"}


@pytest.mark.parametrize("policy", Policy)
def test_all_groups_together_are_limited(policy: Policy) -> None:
    decisions = settle([build("1", policy)], Limits(in_all=3), running_elsewhere=3)

    assert decisions == [Wait("1", "waits until one of the 3 jobs that run has ended")]


def test_who_came_first_begins_first_among_groups() -> None:
    builds = [build("1", group="a"), build("2", group="b"), build("3", group="c")]

    assert kinds(settle(builds, Limits(in_all=2))) == {"1": "Admit", "2": "Admit", "3": "Wait"}


def test_one_that_waits_for_its_group_keeps_no_other_group_waiting() -> None:
    builds = [build("1", group="a", running=True), build("2", group="a"), build("3", group="b")]

    assert kinds(settle(builds, Limits(in_all=2))) == {"2": "Wait", "3": "Admit"}


def test_the_policy_of_the_newer_build_decides() -> None:
    assert kinds(settle([build("1", running=True), build("2", Policy.CANCEL_SUPERSEDED)], ONE))["1"] == "Supersede"
    assert kinds(settle([build("1", Policy.CANCEL_SUPERSEDED, running=True), build("2")], ONE)) == {"2": "Wait"}


def test_one_that_is_canceled_supersedes_nothing() -> None:
    newer = build("2", Policy.CANCEL_SUPERSEDED, running=True, canceling=True)

    assert settle([build("1", running=True), newer], ONE) == []


def test_a_job_takes_the_place_only_of_those_that_are_of_the_same() -> None:
    latest = Policy.QUEUE_LATEST
    jobs = [build("1", latest, running=True), build("2", latest), build("3", latest)]
    jobs[1:] = [
        replace(each, replaces=target) for each, target in zip(jobs[1:], ("staging", "production"), strict=True)
    ]

    assert kinds(settle(jobs, ONE)) == {"2": "Wait", "3": "Wait"}


@pytest.mark.parametrize(
    ("kind", "policies"),
    [
        (Kind.BUILD, ["queue-all", "queue-latest", "cancel-superseded", "parallel"]),
        (Kind.RELEASE, ["queue-all", "queue-latest", "queue-latest", "parallel"]),
        (Kind.BOT, ["queue-all", "queue-all", "queue-all", "parallel"]),
    ],
)
def test_what_a_policy_comes_to_depends_on_what_would_be_superseded(kind: Kind, policies: list[str]) -> None:
    manifests = [Manifest(concurrency=Concurrency(policy=policy)) for policy in Policy]

    assert [Rules().place_of(each, "shop", "main", kind, runs="it")[1] for each in manifests] == policies


@pytest.mark.parametrize(
    ("group", "kind", "expected"),
    [
        ("", Kind.BUILD, "shop main"),
        ("", Kind.RELEASE, "shop release it"),
        ("", Kind.BOT, "shop bot it"),
        ("database", Kind.BUILD, "shop database"),
        ("database", Kind.RELEASE, "shop database"),
        ("on {{branch}}", Kind.BOT, "shop on main"),
    ],
)
def test_each_kind_has_groups_of_its_own_unless_the_manifest_names_one(group: str, kind: Kind, expected: str) -> None:
    manifest = Manifest(concurrency=Concurrency(group=group, policy="queue-all"))

    assert Rules().place_of(manifest, "shop", "main", kind, runs="it")[0] == expected


def test_a_job_in_parallel_is_in_a_group_only_where_all_are_limited() -> None:
    assert Rules().place_of(Manifest(), "shop", "main", Kind.RELEASE, runs="it")[0] == ""
    assert Rules(limits=Limits(in_all=1)).place_of(Manifest(), "shop", "main", Kind.RELEASE, runs="it")[0]


BUILDS = st.lists(
    st.tuples(st.sampled_from(Policy), st.sampled_from("ab"), st.booleans(), st.booleans()), max_size=8
).map(
    lambda rows: [
        build(f"{place}", policy, group=group, running=running, canceling=running and canceling)
        for place, (policy, group, running, canceling) in enumerate(rows)
    ]
)
LIMITS = st.builds(Limits, in_all=st.integers(0, 4), of_a_group=st.integers(1, 3))


def done(builds: list[Job], decisions: list[Decision]) -> list[Job]:
    """Return the builds after the decisions were done: who waited and is superseded is gone at once."""
    decided = {each.id: each for each in decisions}
    then = []
    for each in builds:
        match decided.get(each.id):
            case Admit():
                then.append(build(each.id, each.policy, group=each.group, running=True))
            case Supersede() if each.admitted:
                then.append(build(each.id, each.policy, group=each.group, running=True, canceling=True))
            case Supersede():
                pass
            case _:
                then.append(each)
    return then


@given(BUILDS, LIMITS)
def test_deciding_again_changes_nothing(builds: list[Job], limits: Limits) -> None:
    first = settle(builds, limits)

    again = settle(done(builds, first), limits)

    assert [each for each in again if not isinstance(each, Wait)] == []


@given(BUILDS, LIMITS)
def test_no_build_is_forgotten_and_no_limit_broken(builds: list[Job], limits: Limits) -> None:
    decisions = settle(builds, limits)

    assert {each.id for each in builds if not each.admitted} <= {each.id for each in decisions}
    admitted = [each for each in builds if Admit(each.id) in decisions]
    running = [each for each in builds if each.admitted] + admitted
    if admitted and limits.in_all:
        assert len(running) <= limits.in_all
    for each in admitted:
        if each.policy is not Policy.PARALLEL:
            others = [other for other in running if other.group == each.group]
            assert len([other for other in others if other.policy is not Policy.PARALLEL]) <= limits.of_a_group


@given(st.lists(st.sampled_from("ab"), max_size=8), LIMITS)
def test_builds_of_a_queue_begin_in_the_order_in_which_they_came(groups: list[str], limits: Limits) -> None:
    builds = [build(f"{place}", group=group) for place, group in enumerate(groups)]

    admitted = [each.id for each in settle(builds, limits) if isinstance(each, Admit)]

    for group in "ab":
        of_group = [each.id for each in builds if each.group == group]
        begun = [each in admitted for each in of_group]
        assert not any(later and not earlier for earlier, later in pairwise(begun))
