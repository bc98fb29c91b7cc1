"""Builds in, their jobs requested as soon as they may begin. What each waits for is a decision that is told."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Cancel
from estafette_common.bus.messages.events import DecisionMade, PipelineChanged, PipelineEvent
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Kind
from estafette_common.service import Background

from manifest_planner.admissions import Admissions
from manifest_planner.builds import Builds
from manifest_planner.decisions import Decisions
from manifest_planner.planning import BuildRow
from manifest_planner.requests import Requests

log = structlog.get_logger()


class Queue:
    """Lets builds begin when the policy of their pipeline, and the limits of the server, allow it."""

    def __init__(
        self,
        admissions: Admissions,
        builds: Builds,
        requests: Requests,
        decisions: Decisions,
        bus: Publisher,
    ) -> None:
        self._admissions = admissions
        self._builds = builds
        self._requests = requests
        self._decisions = decisions
        self._bus = bus

    async def enter(self, build: BuildRow, cause: Cause) -> str:
        """Request a build if it may begin now; else return what it waits for."""
        if not build.concurrency_group:
            await self._requests.request(build)
            return ""
        waiting = await self._settle(build.concurrency_group, cause, entered=build.id)
        return waiting.get(build.id, "")

    async def on_changed(self, changed: PipelineChanged, cause: Cause) -> None:
        """Let others begin where a build ended."""
        build = await self._builds.get(changed.build_id) if changed.event is PipelineEvent.FINISHED else None
        if build is not None and build.concurrency_group:
            await self._settle(build.concurrency_group, cause)

    async def look(self) -> None:
        """Let begin what may: the limits may have changed since, and a crash may have left something undone."""
        for group in await self._admissions.waiting_groups():
            now = datetime.now(UTC)
            await self._settle(group, Cause(id=str(uuid4()), type="", source="manifest-planner", time=now))

    async def _settle(self, group: str, cause: Cause, *, entered: str = "") -> dict[str, str]:
        """Do what is decided; return what each build of the group waits for, by its id."""
        settled = await self._admissions.settle(group)
        for superseded in settled.supersede:
            cancel = Cancel(kind=Kind.BUILD, job_id=superseded.id, reason=superseded.reason, superseded=True)
            await self._bus.publish(cancel, id=identity.derive(superseded.id, "supersede"))
        for build_id in settled.request:
            build = await self._builds.get(build_id)
            if build is None:
                continue
            await self._requests.request(build)
            if build_id != entered:
                await self._decide(build, "started", "what it waited for has ended", cause)
            await self._builds.requested(build_id)
        return settled.waiting

    async def _decide(self, build: BuildRow, decision: str, reason: str, cause: Cause) -> None:
        made = DecisionMade(
            subject_kind="build",
            cause_id=cause.id,
            decision=decision,
            reason=reason,
            repository=build.repository,
            ref=f"refs/heads/{build.branch}",
            revision=build.revision,
            job_kind=Kind.BUILD,
            job_id=build.id,
        )
        purpose = f"{decision}/{build.id}"
        await self._decisions.add(made, cause, purpose=purpose)
        await self._bus.publish(made, id=cause.derive(purpose))
        log.info("decided", about="build", build=build.id, decision=decision, reason=reason)


class Waking(Background):
    """A part of the service: looks every `interval` seconds whether a build may begin.

    The first time only after such a while: what happened before a crash is delivered again until then, and names itself
    as the cause of what it lets begin.
    """

    def __init__(self, queue: Queue, *, interval: float) -> None:
        self._queue = queue
        self._interval = interval

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._queue.look()
            except Exception as error:  # noqa: BLE001  whatever is away now is asked again
                log.warning("cannot look at what waits", error=repr(error))
