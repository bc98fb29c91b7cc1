"""Commands in, answers out. What cannot be done now is tried again; what never can be is answered with an error."""

from collections.abc import Awaitable
from typing import Protocol

import structlog
from estafette_common.bus.delivery import PermanentError
from estafette_common.bus.messages.commands import Answer, Cancel, Command, Error
from estafette_common.bus.messages.message import Cause

from manifest_planner.canceling import Canceler

log = structlog.get_logger()


class Answering(Protocol):
    """Where answers go."""

    async def answer(self, to: str, answer: Answer) -> None:
        """Tell who asked, if anybody waits."""
        ...


class Commands:
    """Does what people ask for."""

    def __init__(self, canceler: Canceler, bus: Answering) -> None:
        self._canceler = canceler
        self._bus = bus

    async def on_cancel(self, command: Cancel, cause: Cause) -> None:
        """Let a job end."""
        await self._answer(command, self._canceler.on_command(command, cause))

    async def _answer(self, command: Command, work: Awaitable[Answer]) -> None:
        try:
            answer = await work
        except PermanentError as error:
            answer = Answer(error=Error.INVALID, message=str(error))
        log.info("command", type=command.TYPE, by=command.by, error=answer.error, job=answer.job_id)
        await self._bus.answer(command.reply_to, answer)
