"""What the service is made of. Nothing here does I/O, but for reading the configuration."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.commands import Cancel, Lose, Rebuild, StartBuild
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.jobs import (
    JobDispatched,
    JobFailedToStart,
    JobFinished,
    JobGone,
    JobHeartbeat,
    JobStarted,
)
from estafette_common.bus.topology import Consumer
from estafette_common.database.pool import Database
from estafette_common.github.client import GithubClient
from estafette_common.jobs.lifecycle import Kind
from estafette_common.manifest.secrets import parse_keys

from manifest_planner.builds import Builds
from manifest_planner.canceling import Canceler
from manifest_planner.commands import answering
from manifest_planner.commands_build import BuildsByHand
from manifest_planner.config import load
from manifest_planner.decisions import Decisions
from manifest_planner.follower import Follower
from manifest_planner.git import GitManifests
from manifest_planner.github import GithubManifests
from manifest_planner.memories import Memories
from manifest_planner.planner import Planner
from manifest_planner.planning import Server
from manifest_planner.sealing import Sealer
from manifest_planner.settings import Settings

PATIENCE = (0.2, 1.0, *(5.0 for _ in range(60 * 12)))
"""Seconds between tries: a forge, or the database, may be away for an hour."""


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
    manifests = (
        GithubManifests(github)
        if settings.reads_from_github
        else GitManifests(settings.cache_dir, settings.clone_url, github)
    )
    keys = parse_keys(settings.secret_key.get_secret_value())
    config = load(settings.config_file, keys)
    sealer = Sealer(keys, github, config, moved_to_github=settings.secrets_moved_to_github)
    builds = Builds(database)
    decisions = Decisions(database)
    planner = Planner(
        manifests,
        builds,
        decisions,
        Memories(database),
        sealer,
        bus,
        server=Server(
            url=settings.server_url.rstrip("/"),
            clone_url=settings.clone_url,
            most_retries=settings.most_stage_retries,
        ),
    )
    jobs = {Kind.BUILD: builds}
    follower = Follower(jobs, bus)

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
    bus.consume(Consumer(durable="planner-job-gone", message=JobGone, backoff=PATIENCE), follower.on_gone)
    _obey(bus, BuildsByHand(manifests, builds, planner), Canceler(jobs, follower, decisions, bus))
    return service.application(database, github, bus)


def _obey(bus: Bus, builds: BuildsByHand, canceler: Canceler) -> None:
    """Do what people ask for, and answer them."""
    bus.consume(
        Consumer(durable="planner-build-start", message=StartBuild, backoff=PATIENCE), answering(builds.on_start, bus)
    )
    bus.consume(
        Consumer(durable="planner-build-rebuild", message=Rebuild, backoff=PATIENCE), answering(builds.on_rebuild, bus)
    )
    bus.consume(
        Consumer(durable="planner-cancel", message=Cancel, backoff=PATIENCE), answering(canceler.on_cancel, bus)
    )
