"""Dead letters from the command line, on a real NATS."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import nats
import pytest
from cli import mourning
from cli.letters import Letter
from estafette_common.bus.bus import Bus
from estafette_common.bus.delivery import PermanentError
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.topology import Consumer
from estafette_common.jobs.plan import Repository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

PUSH = GitPushed(
    repository=Repository(source="github.com", owner="acme", name="shop"), ref="refs/heads/main", revision="c" * 40
)

Command = Callable[..., Awaitable[tuple[int, str]]]


class Effects:
    """Something with an effect, once for each id, that fails until it is mended."""

    def __init__(self) -> None:
        self.broken = True
        self.done: list[str] = []

    async def handle(self, _: GitPushed, cause: Cause) -> None:
        if self.broken:
            raise PermanentError("no such branch: ü\nin detail")
        self.done.append(cause.id)


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_server.url)
    yield client.jetstream()
    await client.close()


@pytest.fixture
async def planner(nats_server: NatsServer) -> AsyncIterator[Effects]:
    """The consumer `planner-push`, and `notifier-push` beside it, which nothing is wrong with."""
    effects = Effects()
    bus = Bus(nats_server.url, source="planner")
    bus.consume(Consumer(durable="planner-push", message=GitPushed), effects.handle)
    await bus.start()
    await bus.publish(PUSH, id="push-1")
    await bus.publish(PUSH, id="push-2")
    yield effects
    await bus.stop()


@pytest.fixture
async def notifier(nats_server: NatsServer) -> AsyncIterator[Effects]:
    """Another consumer of the same subject, with which nothing is wrong."""
    effects = Effects()
    effects.broken = False
    bus = Bus(nats_server.url, source="notifier")
    bus.consume(Consumer(durable="notifier-push", message=GitPushed), effects.handle)
    await bus.start()
    yield effects
    await bus.stop()


@pytest.fixture
def dead(nats_server: NatsServer) -> Command:
    """Run `estafette dead`; returns its exit code and what it printed."""

    async def run(*arguments: str, typed: str = "") -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "cli", "dead", *arguments,
            env={**os.environ, "ESTAFETTE_NATS_URL": nats_server.url},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate(typed.encode())
        return process.returncode or 0, output.decode()

    return run


async def buried(jetstream: JetStreamContext) -> int:
    try:
        return (await jetstream.stream_info("DEAD")).state.messages
    except NotFoundError:
        return 0


async def until_buried(jetstream: JetStreamContext, count: int) -> None:
    async def are() -> bool:
        return await buried(jetstream) == count

    await eventually(are)


async def test_what_was_given_up_is_listed_with_its_reason(
    planner: Effects, jetstream: JetStreamContext, dead: Command
) -> None:
    await until_buried(jetstream, 2)

    code, output = await dead("list")

    titles, first, second = output.splitlines()
    assert (code, titles.split()) == (0, ["number", "given", "up", "at", "subject", "consumer", "tries", "reason"])
    assert first.split()[0::2][:2] == ["1", "event.git.push"]
    assert first.endswith("planner-push  1      PermanentError: no such branch: ü")
    assert second.split()[0] == "2"
    assert (await dead("list", "--consumer", "other"))[1] == "there are no dead letters\n"
    assert (await dead("list", "--most", "1"))[1].splitlines()[2] == "and 1 older one"


async def test_one_is_shown_whole(planner: Effects, jetstream: JetStreamContext, dead: Command) -> None:
    await until_buried(jetstream, 2)

    code, output = await dead("show", "1")

    assert code == 0
    assert "  consumer  planner-push of planner\n" in output
    assert "ce-id: push-1\n" in output
    assert '"name": "shop"' in output
    assert await dead("show", "9") == (1, "there is no dead letter 9\n")


async def test_a_replay_reaches_the_consumer_that_gave_up_and_no_other(
    planner: Effects, notifier: Effects, jetstream: JetStreamContext, dead: Command
) -> None:
    await until_buried(jetstream, 2)
    await eventually(lambda: notifier.done == ["push-1", "push-2"])
    planner.broken = False

    assert await dead("replay", "1") == (0, "1 event.git.push goes to planner-push again\n")

    await eventually(lambda: planner.done == ["push-1"])
    assert await buried(jetstream) == 1
    assert (await dead("replay", "--all", "--consumer", "planner-push"))[0] == 0
    await eventually(lambda: planner.done == ["push-1", "push-2"])
    assert await buried(jetstream) == 0
    assert notifier.done == ["push-1", "push-2"]
    assert await dead("replay", "--all") == (0, "there are no dead letters\n")


async def test_two_replays_of_one_at_once_are_one(planner: Effects, jetstream: JetStreamContext, dead: Command) -> None:
    await until_buried(jetstream, 2)
    planner.broken = False

    await asyncio.gather(*(dead("replay", "1") for _ in range(3)))
    await dead("replay", "2")

    await eventually(lambda: "push-2" in planner.done)
    assert sorted(planner.done) == ["push-1", "push-2"]


async def test_what_fails_again_is_a_dead_letter_again(
    planner: Effects, jetstream: JetStreamContext, dead: Command
) -> None:
    await until_buried(jetstream, 2)

    await dead("replay", "1")

    await eventually(lambda: jetstream.get_msg("DEAD", 3))
    assert "after 2 tries" in (await dead("show", "3"))[1]


async def test_nothing_is_forgotten_without_a_yes(planner: Effects, jetstream: JetStreamContext, dead: Command) -> None:
    await until_buried(jetstream, 2)

    refused, asked = await dead("drop", "1", typed="n\n")
    kept = await buried(jetstream)
    agreed, _ = await dead("drop", "1", typed="y\n")

    assert (refused, kept, agreed) == (1, 2, 0)
    assert "Forget 1 dead letter for good?" in asked
    assert await dead("drop", "--all", "--yes") == (0, "1 dead letter forgotten\n")
    assert await buried(jetstream) == 0


@pytest.mark.parametrize("arguments", [[], ["1", "--all"], ["1", "--consumer", "planner-push"]])
async def test_it_must_be_said_which_are_meant(dead: Command, arguments: list[str]) -> None:
    code, output = await dead("drop", "--yes", *arguments)

    assert (code, "by their numbers" in output) == (1, True)


async def test_where_no_service_ever_ran_there_are_none(dead: Command) -> None:
    assert await dead("list") == (0, "there are no dead letters\n")


def test_a_letter_cannot_steer_the_terminal() -> None:
    headers = {"estafette-reason": "%1B]0;title%07", "ce-id": "\x9b2J"}
    letter = Letter(number=1, at=datetime(2026, 11, 20, tzinfo=UTC), headers=headers, body=b"\x1b[2Jhi\r")

    shown = "\n".join([*mourning.table([letter], most=1), *mourning.details(letter)])

    assert all(each.isprintable() for line in shown.split("\n") for each in line)
    assert "\\x1b[2Jhi\\r" in shown
