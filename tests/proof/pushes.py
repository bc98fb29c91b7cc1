"""What is pushed in a proof, and what must become of it. Pure: the seed decides all of it."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

OWNER = "acme"

REPOSITORIES = 8
"""Few enough that each gives numbers to many builds."""

RELEASED = "released"
"""The repository whose builds are released. All of its manifests say so: the newest counts for builds before, too."""

TARGET = "production"

SCHEDULED = "scheduled"
"""The repository that is built every minute."""

REPEATED = 0.05
"""Part of the deliveries that come twice."""

MALFORMED = 0.02
"""Part of the deliveries that are not what a forge sends."""

VERSION = "version: {semver: {major: 1, minor: 0}}\n"


class Stage(NamedTuple):
    """How a stage must end, and what it must have printed."""

    status: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A commit, the build that it must become, and how the delivery that tells of it goes."""

    number: int
    repository: str
    at: float
    """Seconds after the beginning."""
    files: Mapping[str, str]
    outcome: str
    """Of the build; empty: there must be none."""
    stages: Mapping[str, Stage] = field(default_factory=dict)
    """By name, those within a stage too; with `#<run>` where a stage is tried again. How one failed it says itself."""
    state: str = ""
    """The last commit status."""
    release: str = ""
    """Name of the target that the version of the build must be released to, once."""
    again_after: float | None = None
    """Seconds after which the delivery comes once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A delivery that must be refused: there must be no build of the commit that it is about."""

    number: int
    at: float
    fault: str
    """`signature`, `truncated`, `unsigned` or `nameless`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is sent."""

    pushes: Sequence[Push]
    malformed: Sequence[Malformed]


def plan(seed: int, *, builds: int, seconds: float) -> Plan:
    """Return pushes for so many builds, and some for none, spread over so many seconds; the same for the same seed."""
    chance = random.Random(f"pushes {seed}")
    kinds = _kinds(chance, builds)
    times = sorted(chance.uniform(0, seconds) for _ in kinds)
    again = set(chance.sample(range(len(kinds)), math.ceil(len(kinds) * REPEATED)))
    pushes = [
        _push(chance, number, kind, at, again_after=chance.uniform(0, 20) if number in again else None)
        for number, (kind, at) in enumerate(zip(kinds, times, strict=True))
    ]
    faults = ("signature", "truncated", "unsigned", "nameless")
    malformed = [
        Malformed(number=number, at=chance.uniform(0, seconds), fault=faults[number % len(faults)])
        for number in range(math.ceil(len(kinds) * MALFORMED))
    ]
    return Plan(pushes=pushes, malformed=malformed)


def scheduled() -> Push:
    """Return the push that has its repository built every minute from then on."""
    manifest = f"""{VERSION}triggers:
- {{cron: {{schedule: '* * * * *', missed: all}}, builds: {{branch: main}}}}
stages: {{tick: {{image: 'busybox:1', commands: [cat tick.txt]}}}}
"""
    files = {".estafette.yaml": manifest, "tick.txt": "tick\n"}
    stages = {"tick": Stage("SUCCEEDED", ("tick",))}
    return Push(number=-1, repository=SCHEDULED, at=0, files=files, outcome="succeeded", stages=stages, state="success")


def repositories() -> list[str]:
    """Return every repository that may have builds."""
    return [RELEASED, SCHEDULED, *(f"proof-{number}" for number in range(REPOSITORIES))]


NO_BUILD = "none"
"""The kind of push without a manifest."""

SHARES = {
    "plain": 0.30,
    "failing": 0.15,
    "parallel": 0.15,
    "retried": 0.10,
    "long": 0.05,
    "released": 0.10,
    "rejected": 0.08,
    NO_BUILD: 0.07,
}
"""Part of the pushes by what their manifest is like."""


def _kinds(chance: random.Random, builds: int) -> list[str]:
    """Return the kind of each push: every kind is there, the rest by its share."""
    kinds = list(SHARES)
    while len(kinds) - kinds.count(NO_BUILD) < builds:
        kinds += chance.choices(list(SHARES), weights=list(SHARES.values()))
    chance.shuffle(kinds)
    return kinds


def _push(chance: random.Random, number: int, kind: str, at: float, *, again_after: float | None) -> Push:
    repository = RELEASED if kind == "released" else f"proof-{chance.randrange(REPOSITORIES)}"
    made = _MAKERS[kind](chance, number)
    return Push(number=number, repository=repository, at=at, again_after=again_after, **made._asdict())


class _Made(NamedTuple):
    files: Mapping[str, str]
    outcome: str
    stages: Mapping[str, Stage] = MappingProxyType({})
    state: str = ""
    release: str = ""


def lines(chance: random.Random, mark: str, count: int) -> tuple[str, ...]:
    """Return lines of many sorts, each of which is there once, but for empty ones."""
    return tuple(_line(chance, f"{mark}/{number}") for number in range(count))


def _line(chance: random.Random, mark: str) -> str:
    match chance.randrange(8):
        case 0:
            return f"{mark} {'x' * chance.randrange(4000)}"
        case 1:
            return f"{mark} grün ✔ 完成 \U0001f680 e\u0301"
        case 2:
            return f'{mark} \x1b[31mred\x1b[0m {{"json": "\'\\\\$HOME `id`"}}'
        case 3:
            return f"{mark}\tended by blanks   "
        case 4:
            return "" if chance.random() < 0.5 else f"   {mark} begins with blanks"
        case _:
            return f"{mark} {chance.getrandbits(64):x}"


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _shown(file: str, count: int, pause: float) -> str:
    """Return the commands that print a file, with a pause in the middle in which something can happen."""
    half = count // 2
    return f"[head -n {half} {file}, sleep {pause:.1f}, tail -n +{half + 1} {file}]"


def _pause(chance: random.Random) -> float:
    return chance.choice((0.0, 0.2, 1.0, 3.0, 6.0))


def _plain(chance: random.Random, number: int) -> _Made:
    first, second = lines(chance, f"{number}/build", 20), lines(chance, f"{number}/test", 60)
    manifest = f"""{VERSION}stages:
  build: {{image: 'busybox:1', commands: [cat build.txt]}}
  test: {{image: 'busybox:1', commands: {_shown("test.txt", 60, _pause(chance))}}}
  never: {{image: 'busybox:1', when: "status == 'failed'", commands: [cat build.txt]}}
"""
    files = {".estafette.yaml": manifest, "build.txt": _text(first), "test.txt": _text(second)}
    stages = {"build": Stage("SUCCEEDED", first), "test": Stage("SUCCEEDED", second), "never": Stage("SKIPPED")}
    return _Made(files, "succeeded", stages, "success")


def _failing(chance: random.Random, number: int) -> _Made:
    shown = lines(chance, f"{number}/test", 30)
    manifest = f"""{VERSION}stages:
  test: {{image: 'busybox:1', commands: [cat test.txt, sleep {_pause(chance)}, exit 3]}}
  deploy: {{image: 'busybox:1', commands: [cat test.txt]}}
  tidy: {{image: 'busybox:1', when: "status == 'failed'", commands: [tail -n 3 test.txt]}}
"""
    files = {".estafette.yaml": manifest, "test.txt": _text(shown)}
    stages = {
        "test": Stage("FAILED", (*shown, "failed with exit code 3")),
        "deploy": Stage("SKIPPED"),
        "tidy": Stage("SUCCEEDED", shown[-3:]),
    }
    return _Made(files, "failed", stages, "failure")


def _parallel(chance: random.Random, number: int) -> _Made:
    shown = {name: lines(chance, f"{number}/{name}", 40) for name in ("lint", "unit", "docs")}
    inner = "".join(
        f"      {name}: {{image: 'busybox:1', commands: {_shown(f'{name}.txt', 40, _pause(chance))}}}\n"
        for name in shown
    )
    manifest = f"""{VERSION}stages:
  checks:
    parallelStages:
{inner}"""
    files = {".estafette.yaml": manifest, **{f"{name}.txt": _text(each) for name, each in shown.items()}}
    stages = {"checks": Stage("SUCCEEDED")} | {name: Stage("SUCCEEDED", each) for name, each in shown.items()}
    return _Made(files, "succeeded", stages, "success")


def _retried(chance: random.Random, number: int) -> _Made:
    shown = lines(chance, f"{number}/flaky", 20)
    command = "cat flaky.txt; if [ ! -e tried ]; then touch tried; exit 1; fi"
    manifest = f"""{VERSION}stages:
  flaky: {{image: 'busybox:1', retries: 1, commands: ["{command}"]}}
"""
    files = {".estafette.yaml": manifest, "flaky.txt": _text(shown)}
    stages = {
        "flaky": Stage("FAILED", (*shown, "failed with exit code 1; trying again")),
        "flaky#1": Stage("SUCCEEDED", shown),
    }
    return _Made(files, "succeeded", stages, "success")


def _long(chance: random.Random, number: int) -> _Made:
    shown = lines(chance, f"{number}/long", 2_000)
    manifest = f"""{VERSION}stages:
  long: {{image: 'busybox:1', commands: {_shown("long.txt", 2_000, 3.0)}}}
"""
    files = {".estafette.yaml": manifest, "long.txt": _text(shown)}
    return _Made(files, "succeeded", {"long": Stage("SUCCEEDED", shown)}, "success")


def _released(chance: random.Random, number: int) -> _Made:
    shown = lines(chance, f"{number}/build", 20)
    manifest = f"""{VERSION}stages:
  build: {{image: 'busybox:1', commands: [cat build.txt]}}
releases:
  {TARGET}:
    triggers: [{{pipeline: {{name: self}}}}]
    stages: {{deploy: {{image: 'busybox:1', commands: [echo deployed]}}}}
"""
    files = {".estafette.yaml": manifest, "build.txt": _text(shown)}
    return _Made(files, "succeeded", {"build": Stage("SUCCEEDED", shown)}, "success", release=TARGET)


def _rejected(_: random.Random, number: int) -> _Made:
    files = {".estafette.yaml": f"# {number}\n{VERSION}stages: {{build: {{comands: [make]}}}}\n"}
    return _Made(files, "rejected", {"validate-manifest": Stage("FAILED")}, "error")


def _none(_: random.Random, number: int) -> _Made:
    return _Made({"README": f"nothing to build, {number}\n"}, "")


_MAKERS = {
    "plain": _plain,
    "failing": _failing,
    "parallel": _parallel,
    "retried": _retried,
    "long": _long,
    "released": _released,
    "rejected": _rejected,
    NO_BUILD: _none,
}
