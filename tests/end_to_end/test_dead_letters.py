"""What was given up after it had its effect, and is replayed, is done once."""

import asyncio
import os
import sys
from collections.abc import Callable

import nats
from estafette_common.bus.finding import find
from estafette_common.bus.identity import GIT_PUSH, derive
from estafette_local.people import Delivery, GitRepository, Person
from estafette_local.stack import Stack
from estafette_local.waiting import eventually
from nats.aio.client import Client
from nats.js.api import ConsumerInfo, RawStreamMsg

MANIFEST = "stages: {greet: {image: 'busybox:latest', commands: [echo hello]}}"


async def test_a_push_that_had_its_build_and_is_replayed_has_one_build(
    stack: Stack,
    repository: GitRepository,
    person: Person,
    push: Callable[[dict[str, str]], tuple[str, Delivery]],
) -> None:
    _, delivery = push({".estafette.yaml": MANIFEST})
    await person.deliver(delivery)

    async def succeeded() -> bool:
        [build] = await person.builds(repository)
        return bool(build["buildStatus"] == "succeeded")

    await eventually(succeeded, within=60)
    client = await nats.connect(stack.places.nats_url, user_credentials=stack.places.nats_credentials)
    try:
        number = await _bury(client, derive(delivery.id, GIT_PUSH))

        assert await _replay(stack, number) == f"{number} event.git.push goes to planner-git-push again\n"

        async def handled() -> bool:
            replays: ConsumerInfo = await client.jetstream().consumer_info("COMMANDS", "manifest-planner-replay")
            return replays.delivered is not None and replays.delivered.consumer_seq > 0 and not replays.num_ack_pending

        await eventually(handled, within=20)
        assert await find(client.jetstream(), [derive(delivery.id, GIT_PUSH)], subject="dead.>") == []
    finally:
        await client.close()
    assert len(await person.builds(repository)) == 1


async def _bury(client: Client, id: str) -> int:
    """Store a dead letter as the planner would have, had it ended between building and acknowledging, too often."""
    jetstream = client.jetstream()
    [found] = await find(jetstream, [id], subject="event.git.push")
    push: RawStreamMsg = await jetstream.get_msg("EVENTS", found.sequence)
    headers = {
        **(push.headers or {}),
        "Nats-Msg-Id": f"dead/planner-git-push/{push.seq}",
        "estafette-service": "manifest-planner",
        "estafette-consumer": "planner-git-push",
        "estafette-subject": push.subject or "",
    }
    return (await jetstream.publish(f"dead.{push.subject}", push.data or b"", headers=headers)).seq


async def _replay(stack: Stack, number: int) -> str:
    environment = {
        **os.environ,
        "ESTAFETTE_NATS_URL": stack.places.nats_url,
        "ESTAFETTE_NATS_CREDENTIALS": str(stack.places.nats_credentials),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "cli", "dead", "replay", str(number),
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode()
