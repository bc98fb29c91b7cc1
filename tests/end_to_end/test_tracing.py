"""One trace from the delivery of a webhook to the last stage of the build that it led to."""

from collections.abc import Callable

import nats
from estafette_common.bus.subjects import stream_of
from estafette_local.people import Delivery, GitRepository, Person
from estafette_local.stack import Stack
from estafette_local.waiting import eventually
from nats.aio.client import Client

MANIFEST = """\
stages:
  first: {image: 'busybox:latest', commands: [echo one]}
  last: {image: 'busybox:latest', commands: [echo two]}
"""

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_all_that_a_delivery_leads_to_has_its_trace(
    stack: Stack, repository: GitRepository, person: Person, push: Callable[[dict[str, str]], tuple[str, Delivery]]
) -> None:
    _, delivery = push({".estafette.yaml": MANIFEST})
    traced = {**delivery.headers, "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    await person.deliver(Delivery(delivery.body, traced))

    async def succeeded() -> str:
        [build] = await person.builds(repository)
        return str(build["id"]) if build["buildStatus"] == "succeeded" else ""

    build_id = await eventually(succeeded, within=60)
    client = await nats.connect(stack.places.nats_url, user_credentials=stack.places.nats_credentials)
    try:
        events = await _traces(client, "event.>")
        jobs = await _traces(client, f"job.build.{build_id}.>")
        logs = await _traces(client, f"log.build.{build_id}")
    finally:
        await client.close()

    assert {subject for subject, trace in events if trace == TRACE} >= {
        "event.github.push",
        "event.git.push",
        "event.decision.push",
        "event.pipeline.started",
        "event.pipeline.finished",
    }
    said = {subject.rpartition(".")[2] for subject, _ in jobs}
    assert said >= {"requested", "dispatched", "started", "stage", "finished"}
    assert {trace for _, trace in [*jobs, *logs]} == {TRACE}
    assert logs


async def _traces(client: Client, subject: str) -> list[tuple[str, str]]:
    """Return the subject and the trace of each message of a stream, oldest first."""
    subscription = await client.jetstream().subscribe(subject, stream=stream_of(subject), ordered_consumer=True)
    found: list[tuple[str, str]] = []
    left = 1
    while left:
        message = await subscription.next_msg(timeout=5)
        left = message.metadata.num_pending
        trace = (message.headers or {}).get("traceparent", "--").split("-")[1]
        found.append((message.subject, trace))
    return found
