"""Which builds may begin beside which others. Pure: the builds of some groups in, what becomes of them out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from estafette_common.manifest.concurrency import Policy, group_of
from estafette_common.manifest.model import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many builds may run at once."""

    in_all: int = 0
    """Of all groups; 0 for as many as there are."""
    of_a_group: int = 1
    """Whatever the policy, but for `parallel`."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the server says of builds whose manifest says nothing, and of all of them."""

    policy: Policy = Policy.PARALLEL
    limits: Limits = Limits()

    def place_of(self, manifest: Manifest, pipeline: str, branch: str) -> tuple[str, str]:
        """Return the group and the policy of a build; no group where nothing can keep it waiting."""
        policy = Policy(manifest.concurrency.policy or self.policy)
        if policy is Policy.PARALLEL and not self.limits.in_all:
            return "", policy
        return f"{pipeline} {group_of(manifest.concurrency.group, branch=branch)}", policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build that did not end."""

    id: str
    name: str
    """For people: its version."""
    group: str
    policy: Policy
    admitted: bool
    """Whether it began, or may."""
    canceling: bool = False


@dataclass(frozen=True, slots=True)
class Admit:
    """It may begin."""

    id: str


@dataclass(frozen=True, slots=True)
class Supersede:
    """A newer build takes its place."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """It cannot begin yet."""

    id: str
    reason: str
    """For people: what for."""


Decision = Admit | Supersede | Wait


def settle(builds: Sequence[Build], limits: Limits, *, running_elsewhere: int = 0) -> list[Decision]:
    """Return what becomes of each build that has to be decided on, oldest first.

    `builds` are all of their groups that did not end, oldest first; `running_elsewhere` counts admitted builds besides.
    Deciding again after doing what was decided changes nothing.
    """
    superseded = {each.id: each for each in _superseded(builds)}
    running = Counter(build.group for build in builds if build.admitted)
    in_all = running.total() + running_elsewhere
    queues: dict[str, Build] = {}
    decisions: list[Decision] = []
    for build in builds:
        if build.id in superseded:
            decisions.append(superseded[build.id])
        elif not build.admitted:
            obstacle = _obstacle(build, builds, running, queues, limits)
            if not obstacle and 0 < limits.in_all <= in_all:
                obstacle = f"waits until one of the {in_all} builds that run has ended"
            if obstacle:
                decisions.append(Wait(build.id, obstacle))
                queues.setdefault(build.group, build)
                continue
            decisions.append(Admit(build.id))
            running[build.group] += 1
            in_all += 1
    return decisions


def _superseded(builds: Sequence[Build]) -> Iterable[Supersede]:
    """Yield the builds whose place a newer one of their group takes, by the policy of the newer one."""
    for place, build in enumerate(builds):
        newer = [each for each in builds[place + 1 :] if each.group == build.group and _takes_place(each, build)]
        if newer and not build.canceling:
            yield Supersede(build.id, f"superseded by build {newer[-1].name}")


def _takes_place(newer: Build, older: Build) -> bool:
    match newer.policy:
        case Policy.CANCEL_SUPERSEDED:
            return not newer.canceling
        case Policy.QUEUE_LATEST:
            return not newer.canceling and not older.admitted
        case _:
            return False


def _obstacle(
    build: Build, builds: Sequence[Build], running: Counter[str], queues: dict[str, Build], limits: Limits
) -> str:
    """Return what a build waits for in its group, or nothing."""
    if build.policy is Policy.PARALLEL:
        return ""
    if before := queues.get(build.group):
        return f"waits for build {before.name}, which came before it"
    if running[build.group] < limits.of_a_group:
        return ""
    names = ", ".join(each.name for each in builds if each.admitted and each.group == build.group)
    return f"waits until build {names} has ended" if names else "waits for its turn"
