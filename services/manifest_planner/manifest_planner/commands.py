"""Commands in, answers out. What cannot be done now is tried again; what never can be is answered with an error."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog
from estafette_common.bus.delivery import PermanentError
from estafette_common.bus.messages.commands import Answer, Command, Error
from estafette_common.bus.messages.message import Cause

log = structlog.get_logger()

C = TypeVar("C", bound=Command)


class Answers(Protocol):
    """Where answers go."""

    async def answer(self, to: str, answer: Answer) -> None:
        """Tell who asked, if anybody waits."""
        ...


def answering(work: Callable[[C, Cause], Awaitable[Answer]], answers: Answers) -> Callable[[C, Cause], Awaitable[None]]:
    """Return a handler of commands: it does the work and answers who asked.

    The answer goes before the command is acknowledged: a crash between gives a second one, never none.
    """

    async def handle(command: C, cause: Cause) -> None:
        try:
            answer = await work(command, cause)
        except PermanentError as error:
            answer = Answer(error=Error.INVALID, message=str(error))
        log.info("command", type=command.TYPE, by=command.by, error=answer.error, job=answer.job_id)
        await answers.answer(command.reply_to, answer)

    return handle
