from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.topology import Consumer
from estafette_common.bus.watching import Watch
from estafette_common.jobs.plan import Repository
from estafette_local.waiting import eventually
from nats.js import JetStreamContext
from prometheus_client import REGISTRY

PUSH = GitPushed(
    repository=Repository(source="github.com", owner="acme", name="shop"), ref="refs/heads/main", revision="c" * 40
)
READER = Consumer(durable="watched", message=GitPushed, backoff=(0.05,))


def metric(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(f"estafette_{name}", labels)
    assert value is not None
    return value


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"estafette_{name}", labels) or 0.0


async def test_what_a_consumer_has_before_it_is_told_and_how_old_it_is(bus: Bus, jetstream: JetStreamContext) -> None:
    await bus.start()
    await jetstream.add_consumer("EVENTS", durable_name="watched", filter_subject="event.git.push", ack_wait=30)
    await bus.publish(PUSH, id="e-1")
    await bus.publish(PUSH, id="e-2")
    reader = await jetstream.pull_subscribe("event.git.push", "watched", stream="EVENTS")
    [first] = await reader.fetch(1)
    watch = Watch(jetstream, [READER])

    await watch.look()
    lag, in_hand, age = (
        metric(name, consumer="watched") for name in ("consumer_lag", "consumer_in_hand", "consumer_ack_age_seconds")
    )
    await first.ack_sync()
    await watch.look()
    lag_after = metric("consumer_lag", consumer="watched")
    [second] = await reader.fetch(1)
    await second.ack_sync()
    await watch.look()

    assert (lag, in_hand, lag_after) == (2, 1, 1)
    assert 0 < age < 60
    assert metric("consumer_lag", consumer="watched") == 0
    assert metric("consumer_ack_age_seconds", consumer="watched") == 0
    assert metric("stream_messages", stream="EVENTS") == 2


async def test_redeliveries_and_dead_letters_are_told(bus: Bus, jetstream: JetStreamContext) -> None:
    async def fail(_: GitPushed, __: Cause) -> None:
        raise RuntimeError("not ever")

    redelivered = counted("messages_redelivered_total", consumer="watched")
    buried = counted("messages_total", consumer="watched", settled="buried")
    bus.consume(READER, fail)
    await bus.start()

    await bus.publish(PUSH, id="e-1")

    await eventually(lambda: jetstream.get_msg("DEAD", 1))
    await Watch(jetstream, [READER]).look()
    assert metric("dead_letters") == 1
    assert metric("messages_redelivered_total", consumer="watched") == redelivered + 1
    await eventually(lambda: metric("messages_total", consumer="watched", settled="buried") == buried + 1)
