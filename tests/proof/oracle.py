"""Judges what came of what was sent, knowing nothing else. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.proof.pushes import Push, Stage

MINUTE = timedelta(minutes=1)

FINAL_STATES = {"success", "failure", "error"}
"""Commit statuses after which a forge expects no other."""

FINISHED = {"succeeded", "failed", "canceled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A repository that is built every minute."""

    repository: str
    after: datetime
    """Minutes later than this one must be built."""
    since: datetime
    """Minutes from this one on may be built."""
    until: datetime
    """Up to here minutes must be built."""
    at_most: datetime
    """Up to here minutes may be built: how far any clock was ever ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What was sent, and how far each came."""

    pushes: Sequence[tuple[str, str, Push]]
    """Delivery, revision and push; all of them were answered with 2xx."""
    refused: Sequence[tuple[str, str]]
    """Repository and revision of deliveries that were answered with 4xx."""
    poison: Sequence[str]
    """Ids of messages that nobody can handle."""
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stage as the system shows it."""

    name: str
    status: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build as the system shows it."""

    id: str
    repository: str
    revision: str
    number: int
    status: str
    outcome: str
    minute: datetime | None
    """Of the schedule that it is for."""
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that the system could not handle."""

    id: str
    """Of the message."""
    consumer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is there at the end."""

    builds: Sequence[Build]
    releases: Sequence[tuple[str, str, int, str]]
    """Repository, target, number of the version, and status."""
    states: Mapping[str, Sequence[str]]
    """The commit statuses of each build, oldest first."""
    dead: Sequence[DeadLetter]
    stored: Mapping[str, int]
    """How often each message is in its stream, by `<stream> <id>`."""


@dataclass(slots=True)
class Verdict:
    """What is not as it must be; nothing, when the promise was kept."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    builds: int = 0
    lines: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, doubled or wrong."""
        return not (self.lost or self.doubled or self.wrong)


def judge(sent: Sent, observed: Observed) -> Verdict:
    """Return all differences between what must be there and what is."""
    verdict = Verdict(builds=len(observed.builds))
    expected = {revision: push for _, revision, push in sent.pushes}
    for revision, push in expected.items():
        found = [build for build in observed.builds if build.revision == revision and build.minute is None]
        _judge_push(verdict, push, found, observed)
    _judge_others(verdict, sent, observed, set(expected))
    _judge_numbers(verdict, observed.builds)
    if sent.schedule is not None:
        _judge_schedule(verdict, sent.schedule, observed)
    _judge_dead(verdict, sent, observed.dead)
    _judge_messages(verdict, sent, observed.stored)
    return verdict


def _judge_push(verdict: Verdict, push: Push, found: Sequence[Build], observed: Observed) -> None:
    what = f"push {push.number} to {push.repository}"
    wanted = 1 if push.outcome else 0
    if len(found) < wanted:
        verdict.lost.append(f"{what}: no build")
    if len(found) > max(wanted, 1):
        verdict.doubled.append(f"{what}: {len(found)} builds: {', '.join(build.id for build in found)}")
    if found and not wanted:
        verdict.wrong.append(f"{what}: a build {found[0].id}, though there is no manifest")
    for build in found[:wanted]:
        _judge_build(verdict, f"{what}, build {build.id}", push, build)
        _judge_states(verdict, f"{what}, build {build.id}", push.state, observed.states.get(build.id, ()))
        if push.release:
            _judge_releases(verdict, f"{what}, version {build.number}", push, build, observed)


def _judge_build(verdict: Verdict, what: str, push: Push, build: Build) -> None:
    if build.outcome != push.outcome:
        verdict.wrong.append(f"{what}: it is {build.status} ({build.outcome}), not {push.outcome}")
    steps = {step.name: step for step in build.steps}
    for name, stage in push.stages.items():
        verdict.lines += len(stage.lines)
        if name not in steps:
            verdict.lost.append(f"{what}: no stage {name}")
        else:
            _judge_step(verdict, f"{what}, stage {name}", stage, steps[name])
    names = Counter(step.name for step in build.steps)
    verdict.doubled += [f"{what}: stage {name} is there {count} times" for name, count in names.items() if count > 1]


def _judge_step(verdict: Verdict, what: str, stage: Stage, step: Step) -> None:
    if step.status != stage.status:
        verdict.wrong.append(f"{what}: it is {step.status}, not {stage.status}")
    if tuple(step.lines) == stage.lines or not stage.lines:
        return
    wanted, found = Counter(stage.lines), Counter(step.lines)
    lost, more = wanted - found, found - wanted
    if lost:
        verdict.lost.append(f"{what}: {lost.total()} lines, such as {next(iter(lost))[:60]!r}")
    doubled = {line: count for line, count in more.items() if line in wanted}
    if doubled:
        verdict.doubled.append(f"{what}: {sum(doubled.values())} lines, such as {next(iter(doubled))[:60]!r}")
    if len(doubled) < len(more):
        strange = next(line for line in more if line not in wanted)
        verdict.wrong.append(f"{what}: a line that nothing printed: {strange[:60]!r}")
    if not lost and not more:
        verdict.wrong.append(f"{what}: its lines are not in order")


def _judge_states(verdict: Verdict, what: str, wanted: str, states: Sequence[str]) -> None:
    final = [state for state in states if state in FINAL_STATES]
    if not final:
        verdict.lost.append(f"{what}: no final commit status, only {list(states)}")
    elif len(final) > 1:
        verdict.doubled.append(f"{what}: final commit statuses {final}")
    elif final != [wanted] or states[-1] != wanted:
        verdict.wrong.append(f"{what}: commit statuses {list(states)}, not {wanted} at the end")


def _judge_releases(verdict: Verdict, what: str, push: Push, build: Build, observed: Observed) -> None:
    wanted = (push.repository, push.release, build.number)
    statuses = [status for *release, status in observed.releases if tuple(release) == wanted]
    if not statuses:
        verdict.lost.append(f"{what}: no release to {push.release}")
    if len(statuses) > 1:
        verdict.doubled.append(f"{what}: {len(statuses)} releases to {push.release}")
    if any(status != "succeeded" for status in statuses):
        verdict.wrong.append(f"{what}: releases to {push.release} are {statuses}")


def _judge_others(verdict: Verdict, sent: Sent, observed: Observed, expected: set[str]) -> None:
    refused = {revision for _, revision in sent.refused}
    scheduled = sent.schedule.repository if sent.schedule else ""
    for build in observed.builds:
        if build.revision in refused:
            verdict.wrong.append(f"build {build.id} of {build.repository}: its delivery was refused")
        elif build.revision not in expected and build.repository != scheduled:
            verdict.wrong.append(f"build {build.id} of {build.repository}: nobody pushed {build.revision}")
        if build.status not in FINISHED:
            verdict.lost.append(f"build {build.id} of {build.repository}: no end, it is {build.status}")


def _judge_numbers(verdict: Verdict, builds: Sequence[Build]) -> None:
    for repository in sorted({build.repository for build in builds}):
        numbers = Counter(build.number for build in builds if build.repository == repository)
        missing = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
        if missing:
            verdict.lost.append(f"{repository}: numbers {missing} were given to no build")
        verdict.doubled += [
            f"{repository}: number {number} was given {count} times" for number, count in numbers.items() if count > 1
        ]


def _judge_schedule(verdict: Verdict, schedule: Schedule, observed: Observed) -> None:
    builds = [build for build in observed.builds if build.repository == schedule.repository and build.minute]
    minutes = Counter(build.minute for build in builds if build.minute)
    last = max([schedule.until, *minutes])
    for minute in _minutes(schedule.after, last):
        if minute not in minutes:
            verdict.lost.append(f"{schedule.repository}: no build for {minute:%H:%M}")
    for minute, count in minutes.items():
        if count > 1:
            verdict.doubled.append(f"{schedule.repository}: {count} builds for {minute:%H:%M}")
        if not schedule.since <= minute <= schedule.at_most:
            verdict.wrong.append(f"{schedule.repository}: a build for {minute:%H:%M}, which no clock showed")
    for build in builds:
        what = f"{schedule.repository}, build {build.id}"
        if build.outcome != "succeeded":
            verdict.wrong.append(f"{what}: it is {build.outcome}")
        _judge_states(verdict, what, "success", observed.states.get(build.id, ()))


def _minutes(after: datetime, until: datetime) -> Iterator[datetime]:
    minute = after.replace(second=0, microsecond=0) + MINUTE
    while minute <= until:
        yield minute
        minute += MINUTE


def _judge_dead(verdict: Verdict, sent: Sent, dead: Sequence[DeadLetter]) -> None:
    for letter in dead:
        if letter.id not in sent.poison:
            verdict.wrong.append(f"dead letter {letter.id} of {letter.consumer}: {letter.reason}")
    found = Counter((letter.id, letter.consumer) for letter in dead)
    for poison in sent.poison:
        if not any(letter.id == poison for letter in dead):
            verdict.lost.append(f"{poison}: no dead letter")
    verdict.doubled += [f"dead letter {what} of {who}: {n} times" for (what, who), n in found.items() if n > 1]


def _judge_messages(verdict: Verdict, sent: Sent, stored: Mapping[str, int]) -> None:
    """What external subscribers read: each message once, and each delivery that was taken."""
    verdict.doubled += [f"message {name}: {count} times in its stream" for name, count in stored.items() if count > 1]
    for delivery, _, push in sent.pushes:
        if f"EVENTS {delivery}" not in stored:
            verdict.lost.append(f"push {push.number}: its delivery is not in the stream of events")
