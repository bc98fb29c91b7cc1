import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from estafette_common import telemetry
from estafette_common.bus.bus import Bus
from estafette_common.bus.delivery import PermanentError
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import NotStoredError, StreamFullError, TooLargeError
from estafette_common.bus.topology import Consumer
from estafette_common.jobs.plan import Repository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError
from opentelemetry import trace

PUSH = GitPushed(
    repository=Repository(source="github.com", owner="acme", name="shop"), ref="refs/heads/main", revision="c" * 40
)
READER = Consumer(durable="reader", message=GitPushed, concurrency=2, backoff=(0.05, 0.05))


async def _nothing(_: int) -> None:
    return


@dataclass
class Handler:
    """Takes pushes, remembers them, and does as told with the n-th."""

    do: Callable[[int], Awaitable[None]] = _nothing
    taken: list[str] = field(default_factory=list)
    traces: list[int] = field(default_factory=list)

    async def handle(self, _: GitPushed, cause: Cause) -> None:
        self.taken.append(cause.id)
        self.traces.append(trace.get_current_span().get_span_context().trace_id)
        await self.do(len(self.taken))


async def unacknowledged(jetstream: JetStreamContext) -> int:
    info = await jetstream.consumer_info("EVENTS", "reader")
    return (info.num_ack_pending or 0) + (info.num_pending or 0)


async def test_a_message_is_handled_and_acknowledged(bus: Bus, jetstream: JetStreamContext) -> None:
    handler = Handler()
    bus.consume(READER, handler.handle)
    await bus.start()

    await bus.publish(PUSH, id="e-1")

    await eventually(lambda: handler.taken == ["e-1"])
    await eventually(lambda: _is(unacknowledged(jetstream), 0))


async def test_the_same_id_is_stored_once(bus: Bus, jetstream: JetStreamContext) -> None:
    await bus.start()

    await bus.publish(PUSH, id="e-1")
    await bus.publish(PUSH, id="e-1")

    assert (await jetstream.stream_info("EVENTS")).state.messages == 1


async def test_a_message_travels_as_a_cloud_event(bus: Bus, jetstream: JetStreamContext) -> None:
    await bus.start()

    await bus.publish(PUSH, id="é-1")

    headers = (await jetstream.get_last_msg("EVENTS", "event.git.push")).headers or {}
    assert headers["ce-id"] == headers["Nats-Msg-Id"] == "%C3%A9-1"
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-type"] == "estafette.git.pushed.v1"
    assert headers["ce-source"] == "test"


async def test_a_failed_handler_gets_the_message_again(bus: Bus) -> None:
    async def fail_once(taken: int) -> None:
        if taken == 1:
            raise RuntimeError("not today")

    handler = Handler(fail_once)
    bus.consume(READER, handler.handle)
    await bus.start()

    await bus.publish(PUSH, id="e-1")

    await eventually(lambda: handler.taken == ["e-1", "e-1"])


async def test_what_always_fails_is_buried_with_its_reason_and_origin(bus: Bus, jetstream: JetStreamContext) -> None:
    async def fail(_: int) -> None:
        raise RuntimeError("not ever: ü")

    handler = Handler(fail)
    bus.consume(READER, handler.handle)
    await bus.start()

    await bus.publish(PUSH, id="e-1")

    dead = await eventually(lambda: jetstream.get_last_msg("DEAD", "dead.event.git.push"))
    headers = dead.headers or {}
    assert headers["estafette-reason"] == "RuntimeError: not ever: %C3%BC"
    assert (headers["estafette-consumer"], headers["estafette-tries"]) == ("reader", "3")
    assert (headers["estafette-subject"], headers["ce-id"]) == ("event.git.push", "e-1")
    assert dead.data == PUSH.encode()
    await eventually(lambda: _is(unacknowledged(jetstream), 0))
    assert len(handler.taken) == 3


async def test_what_can_never_succeed_is_buried_at_once(bus: Bus, jetstream: JetStreamContext) -> None:
    async def refuse(_: int) -> None:
        raise PermanentError("no such thing")

    handler = Handler(refuse)
    bus.consume(READER, handler.handle)
    await bus.start()

    await bus.publish(PUSH, id="e-1")

    await eventually(lambda: jetstream.get_last_msg("DEAD", "dead.>"))
    assert len(handler.taken) == 1


@pytest.mark.parametrize("body", [b"{", b"9", b"\xff\xfe", b'{"ref": 7}', b""])
async def test_what_cannot_be_read_is_buried_and_its_content_not_told(
    bus: Bus, jetstream: JetStreamContext, body: bytes
) -> None:
    handler = Handler()
    bus.consume(READER, handler.handle)
    await bus.start()

    await jetstream.publish("event.git.push", body)

    dead = await eventually(lambda: jetstream.get_last_msg("DEAD", "dead.>"))
    assert (dead.data or b"") == body
    assert handler.taken == []


async def test_a_slow_handler_keeps_its_message(bus: Bus, nats_server: NatsServer, jetstream: JetStreamContext) -> None:
    reader = replace(READER, ack_wait=0.5)
    release, replica = asyncio.Event(), Handler()
    slow = Handler(lambda _: _wait(release))
    other = Bus(nats_server.url, source="replica")
    bus.consume(reader, slow.handle)
    other.consume(reader, replica.handle)
    await bus.start()
    await bus.publish(PUSH, id="e-1")
    await eventually(lambda: slow.taken)
    await other.start()

    await _pass(3 * reader.ack_wait)
    release.set()

    await eventually(lambda: _is(unacknowledged(jetstream), 0))
    assert (slow.taken, replica.taken) == (["e-1"], [])
    await other.stop()


async def test_what_is_in_hand_at_shutdown_goes_to_a_replica_at_once(nats_server: NatsServer, bus: Bus) -> None:
    leaving = Bus(nats_server.url, source="leaving", grace=0.2)
    left, staying = Handler(lambda _: _wait(asyncio.Event())), Handler()
    leaving.consume(READER, left.handle)
    bus.consume(READER, staying.handle)
    await leaving.start()
    await leaving.publish(PUSH, id="e-1")
    await eventually(lambda: left.taken)
    await bus.start()

    await leaving.stop()

    await eventually(lambda: staying.taken == ["e-1"], within=5)


@pytest.fixture
def patient_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no request for a message end by itself while a test runs."""
    monkeypatch.setattr("estafette_common.bus.bus.FETCH", 3600.0)


@pytest.mark.usefixtures("patient_requests")
async def test_what_comes_when_a_service_has_stopped_goes_to_a_replica(nats_server: NatsServer, bus: Bus) -> None:
    leaving = Bus(nats_server.url, source="leaving")
    left, staying = Handler(), Handler()
    leaving.consume(READER, left.handle)
    bus.consume(READER, staying.handle)
    await leaving.start()
    await leaving.stop()
    await bus.start()

    await bus.publish(PUSH, id="e-1")

    await eventually(lambda: staying.taken == ["e-1"], within=5)
    assert left.taken == []


@pytest.mark.usefixtures("patient_requests")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_consumer_comes_back_by_itself_after_the_server_restarted(
    bus: Bus, nats_server: NatsServer, how: signal.Signals
) -> None:
    handler = Handler()
    bus.consume(READER, handler.handle)
    await bus.start()
    await bus.publish(PUSH, id="e-1")
    await eventually(lambda: handler.taken)

    nats_server.stop(how)
    with pytest.raises(NotStoredError):
        await bus.publish(PUSH, id="e-2")
    assert not await bus.ready()
    nats_server.start()

    await eventually(bus.ready)
    await bus.publish(PUSH, id="e-2")
    await bus.publish(PUSH, id="e-3")
    await eventually(lambda: set(handler.taken) == {"e-1", "e-2", "e-3"}, within=5)


async def test_a_consumer_that_is_deleted_makes_the_service_not_ready(bus: Bus, jetstream: JetStreamContext) -> None:
    bus.consume(READER, Handler().handle)
    await bus.start()
    assert await bus.ready()

    await jetstream.delete_consumer("EVENTS", "reader")

    assert not await bus.ready()


async def test_a_stream_that_drifted_is_repaired(bus: Bus, jetstream: JetStreamContext) -> None:
    await jetstream.add_stream(StreamConfig(name="EVENTS", subjects=["event.>"], max_age=60))

    await bus.start()

    config = (await jetstream.stream_info("EVENTS")).config
    assert config.max_age == 30 * 24 * 60 * 60
    assert config.discard == "new"


async def test_a_full_stream_refuses_and_keeps_the_old(bus: Bus, jetstream: JetStreamContext) -> None:
    await bus.start()
    await bus.publish(PUSH, id="e-1")
    config = (await jetstream.stream_info("EVENTS")).config
    await jetstream.update_stream(config.evolve(max_msgs=1))

    with pytest.raises(StreamFullError):
        await bus.publish(PUSH, id="e-2")

    assert (await jetstream.get_last_msg("EVENTS", "event.git.push")).headers is not None
    assert (await jetstream.stream_info("EVENTS")).state.messages == 1


async def test_a_message_beyond_the_servers_limit_is_told_apart(bus: Bus) -> None:
    await bus.start()

    with pytest.raises(TooLargeError):
        await bus.publish(PUSH.model_copy(update={"pushed_by": "x" * 2_000_000}), id="e-1")


async def test_nothing_is_published_before_the_bus_started(bus: Bus) -> None:
    with pytest.raises(NotStoredError):
        await bus.publish(PUSH, id="e-1")


async def test_a_handler_continues_the_trace_of_who_published(bus: Bus) -> None:
    telemetry.configure(service="test")
    handler = Handler()
    bus.consume(READER, handler.handle)
    await bus.start()

    with telemetry.doing("publish"):
        ours = trace.get_current_span().get_span_context().trace_id
        await bus.publish(PUSH, id="e-1")

    await eventually(lambda: handler.traces == [ours])


async def test_every_declared_stream_exists(bus: Bus, jetstream: JetStreamContext) -> None:
    await bus.start()

    for name in ("EVENTS", "COMMANDS", "JOBS", "LOGS", "DEAD"):
        assert (await jetstream.stream_info(name)).config.name == name
    with pytest.raises(NotFoundError):
        await jetstream.stream_info("OTHER")


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _is(counting: Awaitable[int], wanted: int) -> bool:
    return await counting == wanted


async def _pass(seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    await eventually(lambda: clock() > end)
