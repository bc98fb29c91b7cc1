"""What the service is made of. Nothing here does I/O, but for reading the configuration."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.commands import Cancel, Lose, Rebuild, StartBot, StartBuild, StartRelease
from estafette_common.bus.messages.events import (
    BitbucketEvent,
    CronTicked,
    GithubEvent,
    GitPushed,
    PipelineChanged,
    PubSubReceived,
    RegistryPushed,
    ReleaseChanged,
)
from estafette_common.bus.messages.jobs import (
    JobDispatched,
    JobFailedToStart,
    JobFinished,
    JobGone,
    JobHeartbeat,
    JobLost,
    JobStarted,
    JobWaiting,
)
from estafette_common.bus.messages.triggers import Fire
from estafette_common.bus.payloads import Payloads
from estafette_common.bus.subjects import BITBUCKET_EVENT, GITHUB_EVENT, fill
from estafette_common.bus.topology import Consumer
from estafette_common.database.pool import Database
from estafette_common.github.client import GithubClient
from estafette_common.jobs.lifecycle import Kind
from estafette_common.manifest.concurrency import Policy
from estafette_common.manifest.secrets import parse_keys

from manifest_planner.acting import Actor
from manifest_planner.admissions import Admissions
from manifest_planner.bots import Bots
from manifest_planner.builds import Builds
from manifest_planner.by_hand import ByHand
from manifest_planner.canceling import Canceler
from manifest_planner.choosing import Chooser
from manifest_planner.chosen import Before
from manifest_planner.clones import Clones
from manifest_planner.commands import answering
from manifest_planner.commands_build import BuildsByHand
from manifest_planner.concurrency import Limits, Rules
from manifest_planner.config import load
from manifest_planner.counting import Counts
from manifest_planner.decisions import Decisions
from manifest_planner.figuring import Figures
from manifest_planner.follower import Follower
from manifest_planner.git import GitManifests
from manifest_planner.git_servers import GitServers
from manifest_planner.github import GithubManifests
from manifest_planner.history import History
from manifest_planner.launching import Launcher
from manifest_planner.matcher import Matcher
from manifest_planner.memories import Memories
from manifest_planner.places import Places
from manifest_planner.planner import Planner
from manifest_planner.planning import BuildsFrom, Server
from manifest_planner.queueing import Queue, Waking
from manifest_planner.releases import Releases
from manifest_planner.repositories import Repositories
from manifest_planner.requests import Requests
from manifest_planner.runner import Runner
from manifest_planner.schedules import Schedules
from manifest_planner.sealing import Sealer
from manifest_planner.settings import Settings
from manifest_planner.ticks import Ticks
from manifest_planner.tidying import Bounds, Tidying
from manifest_planner.triggers import Triggers

PATIENCE = (0.2, 1.0, *(5.0 for _ in range(60 * 12)))
"""Seconds between tries: a forge, or the database, may be away for an hour."""

WAKE_EVERY = 30.0
"""Seconds between two looks at jobs that wait. They begin by events; this is for what no event tells."""

A_DAY = 24 * 60 * 60.0


def create_app(settings: Settings) -> web.Application:
    """Return the application: what it takes, and who takes it. Raises ConfigError."""
    database = Database(settings.database_url, connections=settings.database_connections)
    bus = Bus(
        settings.nats_url,
        source="manifest-planner",
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    github = GithubClient(settings)
    servers = GitServers()
    manifests = (
        GithubManifests(github)
        if settings.reads_from_github
        else GitManifests(servers, Clones(settings.cache_dir), settings.clone_url, github)
    )
    bounds = Bounds(unused=settings.cache_days * A_DAY, room=settings.cache_megabytes * 1_000_000)
    keys = parse_keys(settings.secret_key.get_secret_value())
    config = load(settings.config_file, keys)
    sealer = Sealer(keys, github, config, moved_to_github=settings.secrets_moved_to_github)
    builds = Builds(database)
    decisions = Decisions(database)
    memories = Memories(database)
    server = Server(
        url=settings.server_url.rstrip("/"),
        clone_url=settings.clone_url,
        most_retries=settings.most_stage_retries,
    )
    limits = Limits(in_all=settings.most_running_builds, of_a_group=settings.most_running_builds_of_a_group)
    releases, bots, history = Releases(database), Bots(database), History(database)
    before = Before(builds, releases, bots)
    jobs: dict[Kind, Builds | Releases | Bots] = {Kind.BUILD: builds, Kind.RELEASE: releases, Kind.BOT: bots}
    requests = Requests(builds, before, memories, sealer, bus, server=server)
    queue = Queue(Admissions(database, limits), jobs, requests, decisions, bus)
    follower = Follower(jobs, queue, bus)
    canceler = Canceler(jobs, follower, decisions, bus)
    rules = Rules(Policy(settings.concurrency_policy), limits)
    runner = Runner(releases, bots, sealer, queue, bus, rules=rules)
    planner = Planner(manifests, builds, decisions, sealer, queue, bus, rules=rules, control=config.control)
    launcher = Launcher(Chooser(history, releases, config.control), before, runner)
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

    bus.consume(
        Consumer(durable="planner-git-push", message=GitPushed, concurrency=4, backoff=PATIENCE), planner.on_push
    )
    bus.consume(
        Consumer(durable="planner-job-dispatched", message=JobDispatched, backoff=PATIENCE), follower.on_dispatched
    )
    bus.consume(
        Consumer(durable="planner-job-failed-to-start", message=JobFailedToStart, backoff=PATIENCE),
        follower.on_failed_to_start,
    )
    bus.consume(Consumer(durable="planner-job-started", message=JobStarted, backoff=PATIENCE), follower.on_started)
    bus.consume(
        Consumer(durable="planner-job-heartbeat", message=JobHeartbeat, backoff=PATIENCE), follower.on_heartbeat
    )
    bus.consume(
        Consumer(durable="planner-job-finished", message=JobFinished, concurrency=2, backoff=PATIENCE),
        follower.on_finished,
    )
    bus.consume(Consumer(durable="planner-lose", message=Lose, backoff=PATIENCE), follower.on_lose)
    bus.consume(Consumer(durable="planner-job-waiting", message=JobWaiting, backoff=PATIENCE), follower.on_waiting)
    bus.consume(Consumer(durable="planner-job-lost", message=JobLost, backoff=PATIENCE), follower.on_lost)
    bus.consume(Consumer(durable="planner-job-gone", message=JobGone, backoff=PATIENCE), follower.on_gone)
    _obey(bus, BuildsByHand(manifests, builds, planner), ByHand(launcher, decisions, bus), canceler)
    bus.consume(Consumer(durable="planner-fire", message=Fire, concurrency=4, backoff=PATIENCE), actor.on_fire)
    _figure(bus, Figures(database))
    _match(bus, Matcher(Triggers(database), Schedules(database), Payloads(bus), Ticks(bus), bus))
    _follow_repositories(bus, Repositories(Places(database), Payloads(bus), decisions, bus))
    return service.application(
        database,
        github,
        servers,
        bus,
        Counts(database),
        Waking(queue, interval=WAKE_EVERY),
        Tidying(settings.cache_dir, bounds),
    )


def _figure(bus: Bus, figures: Figures) -> None:
    """Keep what is typical of each pipeline."""
    bus.consume(Consumer(durable="planner-figures-build", message=PipelineChanged, backoff=PATIENCE), figures.on_build)
    bus.consume(
        Consumer(durable="planner-figures-release", message=ReleaseChanged, backoff=PATIENCE), figures.on_release
    )


def _follow_repositories(bus: Bus, repositories: Repositories) -> None:
    """Hear of repositories that move or are archived."""
    told = fill(GITHUB_EVENT, kind="repository")
    bus.consume(
        Consumer(durable="planner-repository-github", message=GithubEvent, only=told, backoff=PATIENCE),
        repositories.on_github,
    )
    for durable, kind in (
        ("planner-repository-updated", "repo:updated"),
        ("planner-repository-deleted", "repo:deleted"),
    ):
        told = fill(BITBUCKET_EVENT, kind=kind)
        bus.consume(
            Consumer(durable=durable, message=BitbucketEvent, only=told, backoff=PATIENCE), repositories.on_bitbucket
        )


def _match(bus: Bus, matcher: Matcher) -> None:
    """Let triggers see every event that one may wait for."""
    bus.consume(Consumer(durable="planner-match-push", message=GitPushed, backoff=PATIENCE), matcher.on_push)
    bus.consume(Consumer(durable="planner-match-build", message=PipelineChanged, backoff=PATIENCE), matcher.on_build)
    bus.consume(Consumer(durable="planner-match-release", message=ReleaseChanged, backoff=PATIENCE), matcher.on_release)
    bus.consume(Consumer(durable="planner-match-tick", message=CronTicked, backoff=PATIENCE), matcher.on_tick)
    bus.consume(Consumer(durable="planner-match-image", message=RegistryPushed, backoff=PATIENCE), matcher.on_image)
    bus.consume(Consumer(durable="planner-match-pubsub", message=PubSubReceived, backoff=PATIENCE), matcher.on_pubsub)
    bus.consume(Consumer(durable="planner-match-github", message=GithubEvent, backoff=PATIENCE), matcher.on_github)
    bus.consume(
        Consumer(durable="planner-match-bitbucket", message=BitbucketEvent, backoff=PATIENCE), matcher.on_bitbucket
    )


def _obey(bus: Bus, builds: BuildsByHand, others: ByHand, canceler: Canceler) -> None:
    """Do what people ask for, and answer them."""
    bus.consume(
        Consumer(durable="planner-build-start", message=StartBuild, backoff=PATIENCE), answering(builds.on_start, bus)
    )
    bus.consume(
        Consumer(durable="planner-build-rebuild", message=Rebuild, backoff=PATIENCE), answering(builds.on_rebuild, bus)
    )
    bus.consume(
        Consumer(durable="planner-release-start", message=StartRelease, backoff=PATIENCE),
        answering(others.on_release, bus),
    )
    bus.consume(
        Consumer(durable="planner-bot-start", message=StartBot, backoff=PATIENCE), answering(others.on_bot, bus)
    )
    bus.consume(
        Consumer(durable="planner-cancel", message=Cancel, backoff=PATIENCE), answering(canceler.on_cancel, bus)
    )
