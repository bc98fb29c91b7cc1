"""What happens in the recorded stream, each scene with pipelines of its own.

A scene yields at the end of a window. Its pipelines have nothing to do with those of others, so that all that scenes do
in a window may come in any order; within a scene, what depends on an order is in different windows.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from estafette_common.bus.messages.commands import Rebuild, StartBot, StartBuild, StartRelease
from estafette_common.bus.messages.events import BitbucketEvent, CronTicked, PubSubReceived, RegistryPushed
from estafette_common.jobs.lifecycle import Outcome

from tests.replay import manifests
from tests.replay.story import NOBODY, Scene, Story, place

BY = "robin@example.com"


def chain(story: Story) -> Iterator[None]:
    """A build fires builds and releases of others, and these fire on."""
    story.push("shop", manifests.SHOP, raw=True)
    yield
    story.push("web", manifests.WEB)
    yield
    for number in range(3):
        yield from story.end_all("shop", "web")
        story.push("shop", manifests.SHOP, message=f"Change {number}")
        yield
    story.end("shop", outcome=Outcome.FAILED)
    yield
    story.tell(Rebuild(repository=place("shop"), version="1.0.4", by=BY))
    yield
    yield from story.end_all("shop", "web")
    story.tell(StartRelease(repository=place("shop"), target="production", action="stable", version="1.0.2", by=BY))
    story.tell(StartRelease(repository=place("shop"), target="production", by=BY))
    story.tell(StartRelease(repository=place("shop"), target="nowhere", by=BY))
    story.tell(StartBot(repository=place("shop"), bot="announce", by=BY))
    yield
    yield from story.end_all("shop", "web")


def pushes(story: Story) -> Iterator[None]:
    """Pushes of which many lead to no build."""
    story.push("plain", manifests.PLAIN, raw=True)
    story.point("plain", "refs/tags/1.0", "a" * 40)
    yield
    story.push("plain", manifests.BROKEN)
    story.point("plain", "refs/heads/old", NOBODY)
    yield
    story.push("plain", manifests.PLAIN, message="Correct a word [skip ci]")
    story.github("plain", "create")
    yield
    story.push("plain", None, branch="empty")
    story.github("plain", "delete")
    yield
    story.push("plain", manifests.UNREADABLE, branch="wild")
    yield
    story.push("plain", manifests.PLAIN, branch="feature/one")
    story.point("plain", "refs/notes/commits", "b" * 40)
    yield
    story.end("plain", outcome=Outcome.TIMED_OUT)
    yield
    story.cannot_start("plain")
    yield
    story.still_lives("plain")
    story.tell(StartBuild(repository=place("plain"), branch="gone", by=BY))
    yield
    story.tell(StartBuild(repository=place("plain"), branch="main", by=BY))
    yield
    story.tell(Rebuild(repository=place("plain"), version="1.0.1", by=BY))
    yield
    story.tell(Rebuild(repository=place("plain"), version="9.9.9", by=BY))
    yield
    for number in range(6):
        story.push("plain", manifests.PLAIN, branch="main" if number % 2 else f"feature/{number}")
        story.point("plain", f"refs/tags/1.{number}", "c" * 40)
        yield
        story.end("plain", outcome=Outcome.FAILED if number == 4 else Outcome.SUCCEEDED)
        yield
    yield from story.end_all("plain")


def canceling(story: Story) -> Iterator[None]:
    """Builds that somebody cancels, before and after they began, and too late."""
    for _ in range(3):
        story.push("halted", manifests.PLAIN)
        yield
        story.cancel("halted")
        yield
        story.gone("halted")
        yield
        story.still_lives("halted")
        yield
    story.push("halted", manifests.PLAIN)
    yield
    story.end("halted")
    yield
    story.cancel("halted")
    yield
    story.tell(Rebuild(repository=place("halted"), version="1.0.2", by=BY))
    yield
    yield from story.end_all("halted")


def queueing(story: Story) -> Iterator[None]:
    """Builds that wait for each other."""
    for _ in range(3):
        for _ in range(3):
            story.push("queue", manifests.excluding("queue-all"))
            yield
        story.cancel("queue")
        yield
        yield from story.end_all("queue")


def queueing_latest(story: Story) -> Iterator[None]:
    """Builds of which only the newest waits."""
    for _ in range(3):
        for _ in range(4):
            story.push("latest", manifests.excluding("queue-latest"))
            yield
        yield from story.end_all("latest")


def superseding(story: Story) -> Iterator[None]:
    """Builds that take the place of older ones."""
    for _ in range(4):
        for _ in range(3):
            story.push("newest", manifests.excluding("cancel-superseded"))
            yield
        yield from story.end_all("newest")


def pushed_to_another(story: Story) -> Iterator[None]:
    """Pushes that fire builds of another pipeline, while that has the trigger."""
    story.push("tool", manifests.TOOL)
    yield
    for number in range(4):
        story.push("lib", manifests.PLAIN, message=f"Change {number}")
        yield
        yield from story.end_all("tool", "lib")
    story.push("tool", manifests.BROKEN)
    yield
    story.push("lib", manifests.PLAIN)
    yield
    story.push("tool", manifests.PLAIN)
    yield
    story.push("lib", manifests.PLAIN)
    yield
    yield from story.end_all("tool", "lib")


def clock(story: Story) -> Iterator[None]:
    """Minutes, of which some are due."""
    story.push("nightly", manifests.NIGHTLY)
    yield
    for day in range(21, 25):
        for minute in (59, 60, 61, 90):
            hour, past = 2 + minute // 60, minute % 60
            story.now = max(story.now, datetime(2026, 11, day, hour, past, tzinfo=UTC))
            story.tell(CronTicked(time=datetime(2026, 11, day, hour, past, tzinfo=UTC)))
            yield
        story.end("nightly", outcome=Outcome.SUCCEEDED if day % 2 else Outcome.FAILED)
        yield
    yield from story.end_all("nightly")


def registries(story: Story) -> Iterator[None]:
    """Tags of images, and messages of a topic."""
    story.push("image", manifests.IMAGE)
    yield
    for tag in ("1.21.1", "1.20.9", "1.22.0", "1.22.0", "2.0.0", "1.22.3"):
        story.tell(RegistryPushed(image="golang", tag=tag, digest=f"sha256:{tag}"))
        story.tell(RegistryPushed(image="node", tag=tag))
        yield
        story.end("image")
        yield
    for tag in ("7.0.0", "7.0.1", "7.1.0"):
        story.tell(RegistryPushed(image="redis", tag=tag))
        yield
        story.tell(PubSubReceived(project="acme", topic="orders", data="aGk=", message_id=tag))
        story.tell(PubSubReceived(project="acme", topic="returns", data="aGk=", message_id=tag))
        yield
    yield from story.end_all("image")


def forges(story: Story) -> Iterator[None]:
    """Webhooks that run bots."""
    story.push("helper", manifests.HELPER, raw=True)
    yield
    for number, event in enumerate(["issues", "pull_request", "issue_comment", "star", "issues", "pull_request"]):
        story.github("helper", event, number)
        yield
        story.tell(BitbucketEvent(kind="issue:created", repository="github.com/acme/helper", payload="{}"))
        story.tell(BitbucketEvent(kind="issue:updated", repository="github.com/acme/helper", payload="{}"))
        yield
        story.end("helper", outcome=Outcome.FAILED if number == 3 else Outcome.SUCCEEDED)
        yield
    story.tell(StartBot(repository=place("helper"), bot="triage", branch="main", by=BY))
    yield
    yield from story.end_all("helper")


def circle(story: Story) -> Iterator[None]:
    """Pipelines that fire each other until somebody stops them."""
    story.push("pong", manifests.PONG)
    yield
    yield from story.end_all("pong")
    story.push("ping", manifests.PING)
    yield
    yield from story.end_all("ping", "pong")
    story.push("ping", manifests.PING)
    yield
    yield from story.end_all("ping", "pong")


SCENES: tuple[Scene, ...] = (
    chain,
    pushes,
    canceling,
    queueing,
    queueing_latest,
    superseding,
    pushed_to_another,
    clock,
    registries,
    forges,
    circle,
)
