"""What the service is made of. Nothing here does I/O, but for reading the configuration."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus
from estafette_common.bus.payloads import Payloads
from estafette_common.database.pool import Database
from estafette_common.github.client import GithubClient
from estafette_common.manifest.secrets import parse_keys

from manifest_planner import taking
from manifest_planner.clones import Clones
from manifest_planner.config import load
from manifest_planner.counting import Counts
from manifest_planner.deciding import deciders
from manifest_planner.decisions import Decisions
from manifest_planner.figuring import Figures
from manifest_planner.git import GitManifests
from manifest_planner.git_servers import GitServers
from manifest_planner.github import GithubManifests
from manifest_planner.matcher import Matcher
from manifest_planner.places import Places
from manifest_planner.queueing import Waking
from manifest_planner.repositories import Repositories
from manifest_planner.schedules import Schedules
from manifest_planner.sealing import Sealer
from manifest_planner.settings import Settings
from manifest_planner.ticks import Ticks
from manifest_planner.tidying import Bounds, Tidying
from manifest_planner.triggers import Triggers

WAKE_EVERY = 30.0
"""Seconds between two looks at jobs that wait. They begin by events; this is for what no event tells."""

A_DAY = 24 * 60 * 60.0
A_MEGABYTE = 1_000_000


def create_app(settings: Settings) -> web.Application:
    """Return the application: what it takes, and who takes it. Raises ConfigError."""
    database = Database(settings.database_url, connections=settings.database_connections)
    bus = Bus(
        settings.nats_url,
        source="manifest-planner",
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    github, servers, payloads = GithubClient(settings), GitServers(), Payloads(bus)
    keys = parse_keys(settings.secret_key.get_secret_value())
    config = load(settings.config_file, keys)
    sealer = Sealer(keys, github, config, moved_to_github=settings.secrets_moved_to_github)
    manifests = (
        GithubManifests(github)
        if settings.reads_from_github
        else GitManifests(servers, Clones(settings.cache_dir), settings.clone_url, github)
    )
    jobs = deciders(settings, database, bus, manifests, sealer, config.control)
    taking.plan(bus, jobs.planner, jobs.actor)
    taking.follow(bus, jobs.follower)
    taking.obey(bus, jobs.builds_by_hand, jobs.by_hand, jobs.canceler)
    taking.match(bus, Matcher(Triggers(database), Schedules(database), Decisions(database), payloads, Ticks(bus), bus))
    taking.figure(bus, Figures(database))
    taking.follow_repositories(bus, Repositories(Places(database), payloads, Decisions(database), bus))
    return service.application(
        database,
        github,
        servers,
        bus,
        Counts(database),
        Waking(jobs.queue, interval=WAKE_EVERY),
        Tidying(settings.cache_dir, _bounds(settings)),
    )


def _bounds(settings: Settings) -> Bounds:
    return Bounds(unused=settings.cache_days * A_DAY, room=settings.cache_megabytes * A_MEGABYTE)
