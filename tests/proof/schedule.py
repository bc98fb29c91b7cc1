"""Which faults are injected, when and into what. Pure: the seed decides all of it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from estafette_local.environment import SERVICES


class Kind(StrEnum):
    """What is done to the system."""

    KILL = "SIGKILL of a replica"
    KILL_ALL = "SIGKILL of every replica of a service"
    KILL_BUILDER = "SIGKILL of a builder in the middle of a job"
    FREEZE = "SIGSTOP"
    NATS_RESTART = "NATS restarted in order"
    NATS_LOSS = "a NATS server of the cluster lost"
    DATABASE_STOP = "database stopped"
    CUT = "network cut between a service and NATS"
    FULL = "stream full"
    CLOCK = "clock jump"


ON_NATS = {name for name in SERVICES if name != "web"} | {"builder-host"}
"""What has a line to NATS that can be cut; builders use that of their host."""

STREAMS = ("EVENTS", "COMMANDS", "JOBS", "LOGS")

REPLICAS = 2

PAUSE = 4.0
"""Seconds that a target is left alone after a fault, so that each fault meets something that works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How hard the system is hit."""

    seconds: float
    """From the first fault to the end of the last."""
    every: float
    """Seconds between two faults, on average."""
    frozen: float
    database_away: float
    server_away: float
    cut: float
    full: float
    clock_ahead: float
    """Longer than a minute, for a clock that jumped is looked at again at the next full minute of before."""
    nats_servers: int
    """1 or 3"""


QUICK = Scale(
    seconds=150, every=4.5, frozen=20, database_away=15, server_away=15, cut=12, full=8, clock_ahead=65, nats_servers=1
)
LONG = Scale(
    seconds=600, every=8, frozen=20, database_away=60, server_away=45, cut=30, full=20, clock_ahead=65, nats_servers=3
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault."""

    at: float
    """Seconds after the beginning."""
    kind: Kind
    target: str
    """A service, `nats`, `postgres`, `builder-host`, `builder`, a stream or `clock`."""
    replica: int = 0
    lasts: float = 0.0
    """Seconds."""
    choice: float = 0.0
    """From 0 to 1: which builder; how far the clock jumps."""

    @property
    def until(self) -> float:
        """When its target is let alone."""
        return self.at + self.lasts + PAUSE


def schedule(seed: int, scale: Scale) -> list[Fault]:
    """Return the faults in order. Every kind is there; no target is hit by two at a time."""
    chance = random.Random(f"faults {seed}")
    kinds = [kind for kind in Kind if kind is not Kind.NATS_LOSS or scale.nats_servers > 1]
    deck: list[Kind] = []
    faults: list[Fault] = []
    at = 0.0
    while (at := at + scale.every * chance.uniform(0.5, 1.5)) < scale.seconds:
        fault = _place(chance, deck, at, scale, faults)
        if fault is None:
            deck += chance.sample(kinds, len(kinds))
            fault = _place(chance, deck, at, scale, faults)
        if fault is not None:
            faults.append(fault)
    return faults


def _place(chance: random.Random, deck: list[Kind], at: float, scale: Scale, before: Sequence[Fault]) -> Fault | None:
    """Return a fault of the first kind of the deck that ends in time and has a target that is free, and take it out."""
    busy = {target for fault in before if fault.until > at for target in _claimed(fault)}
    for kind in deck:
        lasts = _lasts(kind, scale)
        free = [each for each in _targets(kind, scale) if not _claims(kind, each) & busy]
        if free and at + lasts <= scale.seconds:
            deck.remove(kind)
            target, replica = chance.choice(free)
            return Fault(at=at, kind=kind, target=target, replica=replica, lasts=lasts, choice=chance.random())
    return None


def _claimed(fault: Fault) -> set[str]:
    return _claims(fault.kind, (fault.target, fault.replica))


def _claims(kind: Kind, target: tuple[str, int]) -> set[str]:
    """Return what must be free: servers and what all replicas share count as one."""
    service, replica = target
    shared = service in {"nats", "postgres", "builder-host", "builder", "clock", *STREAMS}
    both = [replica] if not shared and kind is not Kind.KILL_ALL else range(REPLICAS)
    return {f"{service}-{each}" for each in both}


def _lasts(kind: Kind, scale: Scale) -> float:
    return {
        Kind.FREEZE: scale.frozen,
        Kind.NATS_LOSS: scale.server_away,
        Kind.DATABASE_STOP: scale.database_away,
        Kind.CUT: scale.cut,
        Kind.FULL: scale.full,
        Kind.CLOCK: scale.clock_ahead,
    }.get(kind, 0.0)


def _targets(kind: Kind, scale: Scale) -> list[tuple[str, int]]:
    """Return what may be hit in that way, as service and replica."""
    replicas = [(service, replica) for service in SERVICES for replica in range(REPLICAS)]
    servers = [("nats", replica) for replica in range(scale.nats_servers)]
    processes = [*replicas, ("builder-host", 0), ("postgres", 0), *servers]
    targets: dict[Kind, list[tuple[str, int]]] = {
        Kind.KILL: processes,
        Kind.KILL_ALL: [(service, 0) for service in SERVICES],
        Kind.KILL_BUILDER: [("builder", 0)],
        Kind.FREEZE: [*processes, ("builder", 0)],
        Kind.NATS_RESTART: servers,
        Kind.NATS_LOSS: servers,
        Kind.DATABASE_STOP: [("postgres", 0)],
        Kind.CUT: [each for each in [*replicas, ("builder-host", 0)] if each[0] in ON_NATS],
        Kind.FULL: [(stream, 0) for stream in STREAMS],
        Kind.CLOCK: [("clock", 0)],
    }
    return targets[kind]
