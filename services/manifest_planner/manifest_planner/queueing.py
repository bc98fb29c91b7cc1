"""Jobs in, requested as soon as they may begin. What each waits for is a decision that is told."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

import structlog
from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Cancel
from estafette_common.bus.messages.events import DecisionMade
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Kind
from estafette_common.service import Background

from manifest_planner.admissions import Admissions, Key
from manifest_planner.decisions import Decisions
from manifest_planner.lives import About
from manifest_planner.requests import Requests

log = structlog.get_logger()


class Queued(Protocol):
    """Where the jobs of one kind are kept."""

    async def about(self, job_id: str) -> About | None:
        """Return what the job is about, or nothing where there is none."""
        ...

    async def requested(self, job_id: str) -> None:
        """Note that the job was requested."""
        ...

    async def group(self, job_id: str) -> str:
        """Return the group of the job; empty where it is in none."""
        ...


class Queue:
    """Lets jobs begin when the policy of their pipeline, and the limits of the server, allow it."""

    def __init__(
        self,
        admissions: Admissions,
        jobs: Mapping[Kind, Queued],
        requests: Requests,
        decisions: Decisions,
        bus: Publisher,
    ) -> None:
        self._admissions = admissions
        self._jobs = jobs
        self._requests = requests
        self._decisions = decisions
        self._bus = bus
        self._seen: frozenset[Key] = frozenset()
        """Jobs that could begin when it was looked at them last."""

    async def enter(self, kind: Kind, job_id: str, group: str, cause: Cause) -> str:
        """Request a job if it may begin now; else return what it waits for."""
        if not group:
            await self._requests.request(kind, job_id)
            return ""
        waiting = await self._settle(group, cause, entered=job_id)
        return waiting.get(job_id, "")

    async def left(self, kind: Kind, job_id: str) -> None:
        """Let others begin where a job ended; what they follow is its end."""
        group = await self._jobs[kind].group(job_id)
        if group:
            await self._settle(group, _cause(identity.derive(job_id, identity.FINISHED)))

    async def look(self) -> None:
        """Let begin what could begin at the last look already.

        The limits may have changed since, or a crash may have left something undone. What could not begin then is left
        to the event that lets it: that is on its way, and names itself as the cause.
        """
        seen: set[Key] = set()
        for group in await self._admissions.waiting_groups():
            could = (await self._admissions.foresee(group)).request
            seen.update(could)
            if not self._seen.isdisjoint(could):
                await self._settle(group, None)
        self._seen = frozenset(seen)

    async def _settle(self, group: str, cause: Cause | None, *, entered: str = "") -> dict[str, str]:
        """Do what is decided; return what each job of the group waits for, by its id."""
        settled = await self._admissions.settle(group)
        for key, reason in settled.supersede:
            cancel = Cancel(kind=key.kind, job_id=key.id, reason=reason, superseded=True)
            await self._bus.publish(cancel, id=identity.derive(key.id, "supersede"))
        for key in settled.request:
            await self._requests.request(key.kind, key.id)
            if key.id != entered:
                reason = "what it waited for has ended" if cause else "nothing keeps it waiting any more"
                await self._decide(key, "started", reason, cause or _cause(identity.derive(key.id, "look")))
            await self._jobs[key.kind].requested(key.id)
        return settled.waiting

    async def _decide(self, key: Key, decision: str, reason: str, cause: Cause) -> None:
        about = await self._jobs[key.kind].about(key.id)
        if about is None:
            return
        made = DecisionMade(
            subject_kind=key.kind,
            cause_id=cause.id,
            decision=decision,
            reason=reason,
            repository=about.repository,
            ref=f"refs/heads/{about.branch}",
            revision=about.revision,
            job_kind=key.kind,
            job_id=key.id,
        )
        purpose = f"{decision}/{key.id}"
        await self._decisions.add(made, cause, purpose=purpose)
        await self._bus.publish(made, id=cause.derive(purpose))
        log.info("decided", about=key.kind, job=key.id, decision=decision, reason=reason)


def _cause(event_id: str) -> Cause:
    return Cause(id=event_id, type="", source="manifest-planner", time=datetime.now(UTC))


class Waking(Background):
    """A part of the service: looks every `interval` seconds whether a job may begin.

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
