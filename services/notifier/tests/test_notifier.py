import asyncio
from collections.abc import AsyncIterator

import nats
import pytest
from aiohttp import web
from estafette_common.bus.messages.events import PipelineChanged, PipelineEvent
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import Repository
from estafette_local.forge import OPENAPI, FakeForge
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from nats.js import JetStreamContext
from notifier.app import create_app
from notifier.settings import Settings
from notifier.statuses import due

pytestmark = pytest.mark.skipif(not OPENAPI.exists(), reason="GitHub's OpenAPI document is missing; run `make setup`")

REVISION = "c" * 40


def change(event: PipelineEvent, outcome: Outcome | None = None) -> PipelineChanged:
    return PipelineChanged(
        event=event,
        build_id="7",
        repository=Repository(source="github.com", owner="acme", name="shop"),
        branch="main",
        revision=REVISION,
        version="1.0.7",
        status=outcome.status if outcome else "pending",
        outcome=outcome,
    )


STARTED = change(PipelineEvent.STARTED)
SUCCEEDED = change(PipelineEvent.FINISHED, Outcome.SUCCEEDED)


@pytest.fixture
async def forge() -> AsyncIterator[FakeForge]:
    async with FakeForge() as forge:
        yield forge
    assert forge.violations == []


@pytest.fixture
async def publisher(nats_server: NatsServer, database_url: str, forge: FakeForge) -> AsyncIterator[JetStreamPublisher]:
    """Two replicas of the service run behind it."""
    settings = Settings(
        nats_url=nats_server.url,
        database_url=database_url,
        github_api_url=forge.url,
        github_token="t",
        server_url="http://ci",
    )
    runners = [web.AppRunner(create_app(settings)) for _ in range(2)]
    for runner in runners:
        await runner.setup()
    client = await nats.connect(nats_server.url)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    yield publisher
    await client.close()
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def jetstream(nats_server: NatsServer, publisher: JetStreamPublisher) -> AsyncIterator[JetStreamContext]:
    assert publisher
    client = await nats.connect(nats_server.url)
    yield client.jetstream()
    await client.close()


async def handled(jetstream: JetStreamContext) -> bool:
    info = await jetstream.consumer_info("EVENTS", "notifier-pipeline-changed")
    return not info.num_pending and not info.num_ack_pending


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.SUCCEEDED, "success"),
        (Outcome.FAILED, "failure"),
        (Outcome.CANCELED, "error"),
        (Outcome.LOST, "error"),
        (Outcome.REJECTED, "error"),
        (Outcome.TIMED_OUT, "error"),
    ],
)
def test_only_a_success_is_shown_as_one(outcome: Outcome, state: str) -> None:
    [_, final] = due(change(PipelineEvent.FINISHED, outcome), server_url="http://ci")

    assert final.state == state


async def test_a_build_is_told_as_pending_and_then_as_what_became_of_it(
    publisher: JetStreamPublisher, forge: FakeForge
) -> None:
    await publisher.publish(STARTED, id="1")
    await eventually(lambda: forge.states(REVISION) == ["pending"])
    await publisher.publish(SUCCEEDED, id="2")

    await eventually(lambda: forge.states(REVISION) == ["pending", "success"])
    assert forge.statuses[1]["target_url"] == "http://ci/pipelines/github.com/acme/shop/builds/7"
    assert forge.statuses[1]["context"] == "estafette"


async def test_what_is_told_again_or_all_at_once_reaches_the_forge_once_and_in_order(
    publisher: JetStreamPublisher, forge: FakeForge, jetstream: JetStreamContext
) -> None:
    await asyncio.gather(
        *(
            publisher.publish(each, id=f"{number}")
            for number, each in enumerate([SUCCEEDED, STARTED, STARTED, SUCCEEDED] * 3)
        )
    )

    await eventually(lambda: handled(jetstream))
    assert forge.states(REVISION) == ["pending", "success"]


async def test_a_forge_that_is_away_is_told_when_it_is_back(publisher: JetStreamPublisher, forge: FakeForge) -> None:
    await forge.stop()
    await publisher.publish(STARTED, id="1")
    await publisher.publish(SUCCEEDED, id="2")
    await forge.start()

    await eventually(lambda: forge.states(REVISION) == ["pending", "success"], within=20)


async def test_a_forge_that_fails_is_tried_again(publisher: JetStreamPublisher, forge: FakeForge) -> None:
    forge.fail(502, 503)

    await publisher.publish(STARTED, id="1")

    await eventually(lambda: forge.states(REVISION) == ["pending"])


async def test_what_the_forge_refuses_is_buried(
    publisher: JetStreamPublisher, forge: FakeForge, jetstream: JetStreamContext
) -> None:
    forge.fail(422)

    await publisher.publish(STARTED, id="1")

    await eventually(lambda: jetstream.get_last_msg("DEAD", "dead.event.pipeline.started"))
