"""Commands to release and to run a bot in, answers out."""

from estafette_common.bus.messages.commands import Answer, Error, StartBot, StartRelease
from estafette_common.bus.messages.events import DecisionMade
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Status
from estafette_common.triggers import event_documents
from estafette_common.triggers.events import ManualEvent, TriggerEvent
from estafette_common.triggers.model import ReleaseAction, RunAction

from manifest_planner.decisions import Decisions
from manifest_planner.launching import Launcher, Wish
from manifest_planner.runner import Begun

UNDER_WAY = frozenset({"started", "waiting"})


class ByHand:
    """Begins what people ask for."""

    def __init__(self, launcher: Launcher, decisions: Decisions, bus: Publisher) -> None:
        self._launcher = launcher
        self._decisions = decisions
        self._bus = bus

    async def on_release(self, command: StartRelease, cause: Cause) -> Answer:
        """Release a version to a target. Asked again, it answers the same."""
        if known := await self._decisions.without_job(cause):
            return await self._again(known, cause)
        wanted = ReleaseAction(command.target, command.action, command.version)
        begun = await self._launcher.release(_wish(command, f"release to {command.target}"), wanted, cause)
        return await self._answer("release", command, begun, cause)

    async def on_bot(self, command: StartBot, cause: Cause) -> Answer:
        """Run a bot. Asked again, it answers the same."""
        if known := await self._decisions.without_job(cause):
            return await self._again(known, cause)
        wanted = RunAction(command.bot, command.branch)
        begun = await self._launcher.bot(_wish(command, f"run of {command.bot}"), wanted, cause)
        return await self._answer("bot", command, begun, cause)

    async def _again(self, made: DecisionMade, cause: Cause) -> Answer:
        """Tell what a crash may have kept from being told, and answer the same."""
        await self._bus.publish(made, id=cause.derive("decision"))
        return Answer(error=_error(made.decision), message=made.reason)

    async def _answer(self, about: str, command: StartRelease | StartBot, begun: Begun, cause: Cause) -> Answer:
        made = DecisionMade(
            subject_kind=about,
            cause_id=cause.id,
            decision=begun.decision,
            reason=begun.reason,
            repository=command.repository,
            ref=f"refs/heads/{begun.build.branch}" if begun.build else "",
            revision=begun.build.revision if begun.build else "",
            job_kind=begun.kind,
            job_id=begun.job_id,
        )
        await self._decisions.add(made, cause)
        await self._bus.publish(made, id=cause.derive("decision"))
        return Answer(
            error=_error(begun.decision),
            message=begun.reason,
            kind=begun.kind,
            job_id=begun.job_id,
            status=_status(begun),
            version=begun.build.version if begun.build else None,
        )


def _wish(command: StartRelease | StartBot, what: str) -> Wish:
    event = event_documents.write(TriggerEvent(ManualEvent(user_id=command.by)))
    reason = f"{what} by {command.by}" if command.by else what
    return Wish(repository=command.repository, event=event, reason=reason, by_hand=True)


def _error(decision: str) -> Error | None:
    if decision in UNDER_WAY:
        return None
    return Error.REFUSED if decision == "refused" else Error.INVALID


def _status(begun: Begun) -> Status | None:
    if begun.job_id is None:
        return None
    return Status.PENDING if begun.decision in UNDER_WAY else Status.FAILED
