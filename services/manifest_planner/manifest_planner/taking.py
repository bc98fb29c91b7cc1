"""Which messages the service takes, and who takes each."""

from functools import partial
from typing import Any

from estafette_common.bus.bus import Bus, Handler
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
from estafette_common.bus.messages.message import Message
from estafette_common.bus.messages.triggers import Fire
from estafette_common.bus.subjects import BITBUCKET_EVENT, GITHUB_EVENT, fill
from estafette_common.bus.topology import Consumer

from manifest_planner.acting import Actor
from manifest_planner.by_hand import ByHand
from manifest_planner.canceling import Canceler
from manifest_planner.commands import answering
from manifest_planner.commands_build import BuildsByHand
from manifest_planner.figuring import Figures
from manifest_planner.follower import Follower
from manifest_planner.matcher import Matcher
from manifest_planner.planner import Planner
from manifest_planner.repositories import Repositories

PATIENCE = (0.2, 1.0, *(5.0 for _ in range(60 * 12)))
"""Seconds between tries: a forge, or the database, may be away for an hour."""


def plan(bus: Bus, planner: Planner, actor: Actor) -> None:
    """Make jobs of pushes, and of what fires."""
    _take(bus, "planner-git-push", GitPushed, planner.on_push, concurrency=4)
    _take(bus, "planner-fire", Fire, actor.on_fire, concurrency=4)


def follow(bus: Bus, follower: Follower) -> None:
    """Hear what becomes of jobs."""
    _take(bus, "planner-job-dispatched", JobDispatched, follower.on_dispatched)
    _take(bus, "planner-job-failed-to-start", JobFailedToStart, follower.on_failed_to_start)
    _take(bus, "planner-job-started", JobStarted, follower.on_started)
    _take(bus, "planner-job-heartbeat", JobHeartbeat, follower.on_heartbeat)
    _take(bus, "planner-job-finished", JobFinished, follower.on_finished, concurrency=2)
    _take(bus, "planner-lose", Lose, follower.on_lose)
    _take(bus, "planner-job-waiting", JobWaiting, follower.on_waiting)
    _take(bus, "planner-job-lost", JobLost, follower.on_lost)
    _take(bus, "planner-job-gone", JobGone, follower.on_gone)


def obey(bus: Bus, builds: BuildsByHand, others: ByHand, canceler: Canceler) -> None:
    """Do what people ask for, and answer them."""
    _take(bus, "planner-build-start", StartBuild, answering(builds.on_start, bus))
    _take(bus, "planner-build-rebuild", Rebuild, answering(builds.on_rebuild, bus))
    _take(bus, "planner-release-start", StartRelease, answering(others.on_release, bus))
    _take(bus, "planner-bot-start", StartBot, answering(others.on_bot, bus))
    _take(bus, "planner-cancel", Cancel, answering(canceler.on_cancel, bus))


def match(bus: Bus, matcher: Matcher) -> None:
    """Let triggers see every event that one may wait for."""
    _take(bus, "planner-match-push", GitPushed, matcher.on_push)
    _take(bus, "planner-match-build", PipelineChanged, matcher.on_build)
    _take(bus, "planner-match-release", ReleaseChanged, matcher.on_release)
    _take(bus, "planner-match-tick", CronTicked, matcher.on_tick)
    _take(bus, "planner-match-image", RegistryPushed, matcher.on_image)
    _take(bus, "planner-match-pubsub", PubSubReceived, matcher.on_pubsub)
    _take(bus, "planner-match-github", GithubEvent, matcher.on_github)
    _take(bus, "planner-match-bitbucket", BitbucketEvent, matcher.on_bitbucket)


def figure(bus: Bus, figures: Figures) -> None:
    """Keep what is typical of each pipeline."""
    _take(bus, "planner-figures-build", PipelineChanged, figures.on_build)
    _take(bus, "planner-figures-release", ReleaseChanged, figures.on_release)


def follow_repositories(bus: Bus, repositories: Repositories) -> None:
    """Hear of repositories that move or are archived."""
    of_github, of_bitbucket = partial(fill, GITHUB_EVENT), partial(fill, BITBUCKET_EVENT)
    _take(bus, "planner-repository-github", GithubEvent, repositories.on_github, only=of_github(kind="repository"))
    for durable, kind in (
        ("planner-repository-updated", "repo:updated"),
        ("planner-repository-deleted", "repo:deleted"),
    ):
        _take(bus, durable, BitbucketEvent, repositories.on_bitbucket, only=of_bitbucket(kind=kind))


def _take(
    bus: Bus, durable: str, message: type[Message], handler: Handler[Any], *, concurrency: int = 1, only: str = ""
) -> None:
    bus.consume(
        Consumer(durable=durable, message=message, concurrency=concurrency, only=only, backoff=PATIENCE), handler
    )
