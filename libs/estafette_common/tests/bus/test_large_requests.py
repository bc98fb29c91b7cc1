"""A plan that is larger than a message of NATS may be."""

import pytest
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.topology import declare
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import PlannedStage
from estafette_local import plans
from estafette_local.servers import NatsServer
from nats import connect


def request(size: int) -> JobRequested:
    """Return the request of a job with commands of a size, in bytes."""
    plan = plans.plan(
        stages=(PlannedStage(name="test", image="busybox", commands=("echo a line", "x" * size)),),
    )
    return JobRequested(kind=Kind.BUILD, job_id="7", plan=plan, sealed_key="sealed")


@pytest.mark.parametrize("size", [1, 3 * 1024 * 1024])
async def test_a_request_of_any_size_comes_as_it_was_told(nats_server: NatsServer, size: int) -> None:
    client = await connect(nats_server.url)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()

    await publisher.publish(request(size), id="one")

    kept = await client.jetstream().get_last_msg("JOBS", "job.build.7.requested")
    assert JobRequested.decode(kept.data or b"", kept.headers or {}) == request(size)
    await client.close()


def test_a_small_request_is_json_that_everybody_reads() -> None:
    assert request(1).headers == {}
    assert request(1).encode().startswith(b"{")


def test_a_body_that_is_not_what_it_claims_to_be_is_not_understood() -> None:
    with pytest.raises(ValueError, match="zstd"):
        JobRequested.decode(b"{}", {"content-encoding": "zstd"})
