"""How canceled jobs come to their end, with real NATS and a real builder host."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import nats
import pytest
import zstandard
from estafette_common.bus.bus import Bus
from estafette_common.bus.messages.jobs import JobCancel, JobGone
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import PlannedStage
from estafette_common.jobs.runtimes import JobSpec
from estafette_local.people import GitRepository
from estafette_local.plans import plan
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from job_dispatcher.app import CANCELS
from job_dispatcher.ending import Ender
from job_dispatcher.history import History
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

GRACE = 3.0
"""Seconds."""


class Scene:
    """A dispatcher's part for canceled jobs, and jobs on a real host."""

    def __init__(self, folder: Any, host: Any, jetstream: JetStreamContext, publisher: JetStreamPublisher) -> None:
        self.host = host
        self.jetstream = jetstream
        self.publisher = publisher
        self._repository = GitRepository(folder / "git", "acme", "shop")
        self._revision = self._repository.commit({"README": "shop\n"})

    async def job(self, *commands: str) -> str:
        """Start a job of one stage; returns its id."""
        job_id = str(uuid4().int >> 65)
        only = PlannedStage(name="only", image="busybox:latest", commands=commands)
        url = f"file://{self._repository.path}"
        job = plan(job_id=job_id, revision=self._revision, clone_url=url, stages=(only,))
        await self.host.runtime.start(JobSpec(plan=job, key=bytes(32)))
        return job_id

    async def cancel(self, job_id: str) -> None:
        cancel = JobCancel(kind=Kind.BUILD, job_id=job_id, reason="enough")
        await self.publisher.publish(cancel, id=f"{job_id}-cancel")

    async def told(self, job_id: str, what: str) -> bytes:
        """Return the body of the last message about the job; raises where there is none."""
        return (await self.jetstream.get_last_msg("JOBS", f"job.build.{job_id}.{what}")).data or b"{}"

    async def gone(self, job_id: str) -> JobGone:
        return JobGone.decode(await self.told(job_id, "gone"), {})

    async def was_tried(self) -> bool:
        return bool((await self.jetstream.consumer_info("JOBS", CANCELS.durable)).num_redelivered)

    async def is_handled(self) -> bool:
        info = await self.jetstream.consumer_info("JOBS", CANCELS.durable)
        return not (info.num_pending or info.num_ack_pending)


@pytest.fixture
async def scene(nats_server: NatsServer, host: Any, tmp_path: Any) -> AsyncIterator[Scene]:
    host.start()
    await eventually(lambda: _answers(host), within=20)
    bus = Bus(nats_server.url, source="test")
    ender = Ender(host.runtime, History(bus), bus, grace=GRACE)
    bus.consume(CANCELS, ender.on_cancel)
    await bus.start()
    client = await nats.connect(nats_server.url)
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    yield Scene(tmp_path, host, client.jetstream(), publisher)
    await client.close()
    await bus.stop()
    await host.remove_all()


async def test_a_canceled_job_that_was_never_started_is_gone_at_once(scene: Scene) -> None:
    await scene.cancel("7")

    assert (await eventually(lambda: scene.gone("7"), within=2)).reason == "it was not started"


async def test_a_builder_that_hears_the_cancel_ends_by_itself(scene: Scene) -> None:
    job_id = await scene.job("sleep 600")
    await eventually(lambda: scene.told(job_id, "started"), within=20)

    await scene.cancel(job_id)

    end = await eventually(lambda: scene.told(job_id, "finished"), within=GRACE)
    assert b'"outcome":"canceled"' in end
    await eventually(scene.is_handled, within=GRACE + 5)
    try:
        told = (await scene.gone(job_id)).reason
    except NotFoundError:  # its own end was heard first
        told = "its builder ended"
    assert told == "its builder ended"


async def test_a_job_that_does_not_end_by_itself_is_removed_after_the_grace(scene: Scene) -> None:
    job_id = await scene.job("trap '' TERM; echo begun; while true; do sleep 1; done")
    await eventually(lambda: _has_begun(scene, job_id), within=20)

    await scene.cancel(job_id)

    told = await eventually(lambda: scene.gone(job_id), within=GRACE + 30)
    assert told.reason == "its builder did not end by itself, so its job was removed"
    assert await scene.host.jobs() == []


async def test_a_canceled_job_is_not_gone_while_the_runtime_cannot_say_so(scene: Scene) -> None:
    scene.host.stop()
    await scene.cancel("7")
    await eventually(scene.was_tried, within=10)
    with pytest.raises(NotFoundError):
        await scene.gone("7")

    scene.host.start()

    await eventually(lambda: scene.gone("7"), within=30)


async def _answers(host: Any) -> bool:
    await host.jobs()
    return True


async def _has_begun(scene: Scene, job_id: str) -> bool:
    subject = f"log.build.{job_id}"
    return b"begun" in zstandard.decompress((await scene.jetstream.get_last_msg("LOGS", subject)).data or b"")
