"""A dead letter goes to the consumer that buried it, once more, as if it came for the first time."""

from estafette_common.bus.bus import Bus
from estafette_common.bus.delivery import PermanentError
from estafette_common.bus.messages.events import CronTicked, GitPushed
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.topology import Consumer
from estafette_common.jobs.plan import Repository
from estafette_local.waiting import eventually
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

PUSH = GitPushed(
    repository=Repository(source="github.com", owner="acme", name="shop"), ref="refs/heads/main", revision="c" * 40
)


class Reader:
    """Takes pushes, and refuses them for as long as it is told to."""

    def __init__(self, *, refuses: bool) -> None:
        self.refuses = refuses
        self.taken: list[str] = []

    async def handle(self, _: object, cause: Cause) -> None:
        self.taken.append(cause.id)
        if self.refuses:
            raise PermanentError("not today")


async def replay(jetstream: JetStreamContext, letter: RawStreamMsg) -> None:
    headers = {**(letter.headers or {}), "Nats-Msg-Id": f"replay/{letter.seq}"}
    await jetstream.publish("command.replay.test", letter.data or b"", headers=headers)


async def buried(jetstream: JetStreamContext, number: int = 1) -> RawStreamMsg:
    return await eventually(lambda: jetstream.get_msg("DEAD", number))


async def test_only_the_consumer_that_buried_it_hears_of_it_again(bus: Bus, jetstream: JetStreamContext) -> None:
    failing, other = Reader(refuses=True), Reader(refuses=False)
    bus.consume(Consumer(durable="failing", message=GitPushed), failing.handle)
    bus.consume(Consumer(durable="other", message=GitPushed), other.handle)
    await bus.start()
    await bus.publish(PUSH, id="e-1")
    letter = await buried(jetstream)
    failing.refuses = False

    await replay(jetstream, letter)

    await eventually(lambda: failing.taken == ["e-1", "e-1"])
    assert other.taken == ["e-1"]
    assert (await jetstream.stream_info("EVENTS")).state.messages == 1


async def test_one_that_fails_again_is_buried_again_with_its_first_origin(
    bus: Bus, jetstream: JetStreamContext
) -> None:
    bus.consume(Consumer(durable="failing", message=GitPushed), Reader(refuses=True).handle)
    await bus.start()
    await bus.publish(PUSH, id="e-1")
    letter = await buried(jetstream)

    await replay(jetstream, letter)

    again = await buried(jetstream, 2)
    origin = {"estafette-subject", "estafette-stream", "estafette-sequence", "estafette-service", "estafette-consumer"}
    first, second = letter.headers or {}, again.headers or {}
    assert again.subject == "dead.event.git.push"
    assert {name: second[name] for name in origin} == {name: first[name] for name in origin}
    assert second["estafette-tries"] == "2"
    assert again.data == PUSH.encode()


async def test_what_came_without_an_id_is_replayed_with_the_one_it_was_given(
    bus: Bus, jetstream: JetStreamContext
) -> None:
    failing = Reader(refuses=True)
    bus.consume(Consumer(durable="failing", message=GitPushed), failing.handle)
    await bus.start()
    await jetstream.publish("event.git.push", PUSH.encode())
    letter = await buried(jetstream)
    failing.refuses = False

    await replay(jetstream, letter)

    await eventually(lambda: failing.taken == ["EVENTS/1", "EVENTS/1"])


async def test_what_was_published_on_a_condition_can_be_buried(bus: Bus, jetstream: JetStreamContext) -> None:
    bus.consume(Consumer(durable="failing", message=CronTicked), Reader(refuses=True).handle)
    await bus.start()
    tick = CronTicked.model_validate({"time": "2026-11-20T12:00:00Z"})
    await bus.publish(PUSH, id="e-1")
    await bus.publish(tick, id="tick/1", after=0)
    await bus.publish(tick, id="tick/2", after=2)

    second = await buried(jetstream, 2)

    assert (second.headers or {})["ce-id"] == "tick/2"


async def test_one_for_a_consumer_that_is_no_more_is_buried_again(bus: Bus, jetstream: JetStreamContext) -> None:
    bus.consume(Consumer(durable="here", message=GitPushed), Reader(refuses=False).handle)
    await bus.start()
    headers = {
        "ce-id": "e-1",
        "estafette-service": "test",
        "estafette-consumer": "gone",
        "estafette-subject": "event.git.push",
    }

    await jetstream.publish("command.replay.test", PUSH.encode(), headers=headers)

    letter = await eventually(lambda: jetstream.get_msg("DEAD", 1), within=30)
    assert "has no consumer gone" in (letter.headers or {})["estafette-reason"]
