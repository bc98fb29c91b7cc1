"""What decides on jobs, put together. Nothing here does I/O."""

from dataclasses import dataclass

from estafette_common.bus.bus import Bus
from estafette_common.database.pool import Database
from estafette_common.jobs.lifecycle import Kind
from estafette_common.manifest.concurrency import Policy

from manifest_planner.acting import Actor
from manifest_planner.admissions import Admissions
from manifest_planner.bots import Bots
from manifest_planner.builds import Builds
from manifest_planner.by_hand import ByHand
from manifest_planner.canceling import Canceler
from manifest_planner.choosing import Chooser
from manifest_planner.chosen import Before
from manifest_planner.commands_build import BuildsByHand
from manifest_planner.concurrency import Limits, Rules
from manifest_planner.control import Control
from manifest_planner.decisions import Decisions
from manifest_planner.follower import Follower
from manifest_planner.history import History
from manifest_planner.launching import Launcher
from manifest_planner.memories import Memories
from manifest_planner.planner import Manifests, Planner
from manifest_planner.planning import BuildsFrom, Server
from manifest_planner.queueing import Queue
from manifest_planner.releases import Releases
from manifest_planner.requests import Requests
from manifest_planner.runner import Runner
from manifest_planner.sealing import Sealer
from manifest_planner.settings import Settings
from manifest_planner.usages import Usages


@dataclass(frozen=True, slots=True)
class Deciders:
    """Each is told of something, and decides."""

    planner: Planner
    actor: Actor
    follower: Follower
    queue: Queue
    canceler: Canceler
    builds_by_hand: BuildsByHand
    by_hand: ByHand


def deciders(
    settings: Settings, database: Database, bus: Bus, manifests: Manifests, sealer: Sealer, control: Control
) -> Deciders:
    """Return all that decide, over the same tables."""
    builds, releases, bots = Builds(database), Releases(database), Bots(database)
    jobs: dict[Kind, Builds | Releases | Bots] = {Kind.BUILD: builds, Kind.RELEASE: releases, Kind.BOT: bots}
    decisions, history, before = Decisions(database), History(database), Before(builds, releases, bots)
    limits = Limits(in_all=settings.most_running_builds, of_a_group=settings.most_running_builds_of_a_group)
    rules = Rules(Policy(settings.concurrency_policy), limits)
    memories, usages = Memories(database), Usages(database)
    requests = Requests(builds, before, memories, usages, sealer, bus, server=_server(settings))
    queue = Queue(Admissions(database, limits), jobs, requests, decisions, bus)
    follower = Follower(jobs, queue, bus)
    planner = Planner(manifests, builds, decisions, sealer, queue, bus, rules=rules, control=control)
    runner = Runner(releases, bots, sealer, queue, bus, rules=rules)
    launcher = Launcher(Chooser(history, releases, control), before, runner)
    actor = Actor(
        planner,
        launcher,
        history,
        decisions,
        bus,
        manifests=manifests,
        builds_from=BuildsFrom(settings.trigger_builds_from),
        most_hops=settings.most_trigger_hops,
    )
    return Deciders(
        planner=planner,
        actor=actor,
        follower=follower,
        queue=queue,
        canceler=Canceler(jobs, follower, decisions, bus),
        builds_by_hand=BuildsByHand(manifests, builds, planner),
        by_hand=ByHand(launcher, decisions, bus),
    )


def _server(settings: Settings) -> Server:
    return Server(
        url=settings.server_url.rstrip("/"),
        clone_url=settings.clone_url,
        most_retries=settings.most_stage_retries,
    )
