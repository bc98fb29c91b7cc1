"""Why jobs end before their time: each end that somebody asked for is a decision."""

from collections.abc import Mapping

import structlog
from estafette_common.bus.messages.commands import Answer, Cancel, Error
from estafette_common.bus.messages.events import DecisionMade
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Kind, Status

from manifest_planner.decisions import Decisions
from manifest_planner.follower import Follower, Jobs
from manifest_planner.lives import About, Life

log = structlog.get_logger()


class Canceler:
    """Lets jobs end before their time: canceling until nothing of them is left, then canceled."""

    def __init__(self, jobs: Mapping[Kind, Jobs], follower: Follower, decisions: Decisions, bus: Publisher) -> None:
        self._jobs = jobs
        self._follower = follower
        self._decisions = decisions
        self._bus = bus

    async def on_cancel(self, command: Cancel, cause: Cause) -> Answer:
        """Cancel what did not end yet. Asked again, it answers the same."""
        kind, job_id = command.kind, command.job_id
        about = await self._jobs[kind].about(job_id) if kind in self._jobs else None
        life = await self._cancel(command, about, cause) if about else None
        if about is None or life is None:
            return Answer(error=Error.NOT_FOUND, message=f"there is no {kind} {job_id}")
        place = {"kind": kind, "job_id": job_id, "status": life.status, "version": about.version}
        if life.status in {Status.CANCELING, Status.CANCELED}:
            return Answer.model_validate(place)
        return Answer.model_validate({**place, "error": Error.REFUSED, "message": f"the {kind} {life.status} already"})

    async def _cancel(self, command: Cancel, about: About, cause: Cause) -> Life | None:
        """Let a job end; returns it as it is then, or nothing where there is none."""
        kind, job_id, reason = command.kind, command.job_id, _reason(command)
        life = await self._follower.cancel(kind, job_id, reason, cause)
        if life is None or life.reason != reason or life.status not in {Status.CANCELING, Status.CANCELED}:
            return life
        made = DecisionMade(
            subject_kind=kind,
            decision="superseded" if command.superseded else "canceled",
            reason=reason,
            repository=about.repository,
            ref=f"refs/heads/{about.branch}" if about.branch else "",
            revision=about.revision,
            job_kind=kind,
            job_id=job_id,
        )
        await self._decisions.add(made, cause)
        await self._bus.publish(made, id=cause.derive("decision"))
        log.info(made.decision, kind=kind, job=job_id, status=life.status, reason=reason)
        return life


def _reason(command: Cancel) -> str:
    if command.superseded:
        return command.reason
    by = f"canceled by {command.by}" if command.by else "canceled"
    return f"{by}: {command.reason}" if command.reason else by
