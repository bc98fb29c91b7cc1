"""Which jobs may begin beside which others. Pure: the jobs of some groups in, what becomes of them out.

Builds, releases and runs of bots are in groups of their own, unless the manifest names one group for all of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from estafette_common.jobs.lifecycle import Kind
from estafette_common.manifest.concurrency import Policy, group_of
from estafette_common.manifest.model import Manifest

AT_MOST = {
    Kind.RELEASE: {Policy.CANCEL_SUPERSEDED: Policy.QUEUE_LATEST},
    Kind.BOT: {Policy.CANCEL_SUPERSEDED: Policy.QUEUE_ALL, Policy.QUEUE_LATEST: Policy.QUEUE_ALL},
}
"""What a policy comes to. A release that was broken off leaves its target half done, so only those that wait are
superseded; and no run of a bot stands for another, for each has an event of its own to deal with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many jobs may run at once."""

    in_all: int = 0
    """Of all groups; 0 for as many as there are."""
    of_a_group: int = 1
    """Whatever the policy, but for `parallel`."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the server says of jobs whose manifest says nothing, and of all of them."""

    policy: Policy = Policy.PARALLEL
    limits: Limits = Limits()

    def place_of(
        self, manifest: Manifest, pipeline: str, branch: str, kind: Kind = Kind.BUILD, *, runs: str = ""
    ) -> tuple[str, Policy]:
        """Return the group and the policy of a job; no group where nothing can keep it waiting.

        `runs` is the target of a release, or the bot. Where the manifest names no group, builds of a branch are one,
        and releases to a target, and runs of a bot.
        """
        policy = Policy(manifest.concurrency.policy or self.policy)
        policy = AT_MOST.get(kind, {}).get(policy, policy)
        if policy is Policy.PARALLEL and not self.limits.in_all:
            return "", policy
        own = f"{kind} {runs}" if kind is not Kind.BUILD and not manifest.concurrency.group else ""
        return f"{pipeline} {own or group_of(manifest.concurrency.group, branch=branch)}", policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that did not end."""

    id: str
    name: str
    """For people: `build 1.0.3`"""
    group: str
    policy: Policy
    replaces: str = ""
    """What it is of; a newer one of the same may take its place."""
    admitted: bool
    """Whether it began, or may."""
    canceling: bool = False


@dataclass(frozen=True, slots=True)
class Admit:
    """It may begin."""

    id: str


@dataclass(frozen=True, slots=True)
class Supersede:
    """A newer job takes its place."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """It cannot begin yet."""

    id: str
    reason: str
    """For people: what for."""


Decision = Admit | Supersede | Wait


def settle(jobs: Sequence[Job], limits: Limits, *, running_elsewhere: int = 0) -> list[Decision]:
    """Return what becomes of each job that has to be decided on, oldest first.

    `jobs` are all of their groups that did not end, oldest first; `running_elsewhere` counts admitted jobs besides.
    Deciding again after doing what was decided changes nothing.
    """
    superseded = {each.id: each for each in _superseded(jobs)}
    running = Counter(job.group for job in jobs if job.admitted)
    in_all = running.total() + running_elsewhere
    queues: dict[str, Job] = {}
    decisions: list[Decision] = []
    for job in jobs:
        if job.id in superseded:
            decisions.append(superseded[job.id])
        elif not job.admitted:
            obstacle = _obstacle(job, jobs, running, queues, limits)
            if not obstacle and 0 < limits.in_all <= in_all:
                obstacle = f"waits until one of the {in_all} jobs that run has ended"
            if obstacle:
                decisions.append(Wait(job.id, obstacle))
                queues.setdefault(job.group, job)
                continue
            decisions.append(Admit(job.id))
            running[job.group] += 1
            in_all += 1
    return decisions


def _superseded(jobs: Sequence[Job]) -> Iterable[Supersede]:
    """Yield the jobs whose place a newer one of their group takes, by the policy of the newer one."""
    for place, job in enumerate(jobs):
        newer = [each for each in jobs[place + 1 :] if each.group == job.group and _takes_place(each, job)]
        if newer and not job.canceling:
            yield Supersede(job.id, f"superseded by {newer[-1].name}")


def _takes_place(newer: Job, older: Job) -> bool:
    if newer.canceling or newer.replaces != older.replaces:
        return False
    match newer.policy:
        case Policy.CANCEL_SUPERSEDED:
            return True
        case Policy.QUEUE_LATEST:
            return not older.admitted
        case _:
            return False


def _obstacle(job: Job, jobs: Sequence[Job], running: Counter[str], queues: dict[str, Job], limits: Limits) -> str:
    """Return what a job waits for in its group, or nothing."""
    if job.policy is Policy.PARALLEL:
        return ""
    if before := queues.get(job.group):
        return f"waits for {before.name}, which came before it"
    if running[job.group] < limits.of_a_group:
        return ""
    names = ", ".join(each.name for each in jobs if each.admitted and each.group == job.group)
    return f"waits until {names} has ended" if names else "waits for its turn"
