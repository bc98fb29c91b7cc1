"""What the commands that ask a server share: their options, and how they give up."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import uuid4

import typer
from estafette_common.bus.messages.commands import Answer, Command
from estafette_common.jobs.plan import Repository

from cli import here
from cli.server import Bus, ServerError

T = TypeVar("T")

NOT_DONE = 1
"""Exit code when a command was not done, or what was followed did not succeed."""

Pipeline = Annotated[str, typer.Option(help="source/owner/name; without it, that of this checkout.")]
NatsUrl = Annotated[str, typer.Option(envvar="ESTAFETTE_NATS_URL", help="Where NATS is.")]
Credentials = Annotated[Path | None, typer.Option(envvar="ESTAFETTE_NATS_CREDENTIALS", help="NATS credentials file.")]
ApiUrl = Annotated[str, typer.Option(envvar="ESTAFETTE_API_URL", help="Where the API is.")]
RequestId = Annotated[
    str, typer.Option("--id", help="Names the request: the same id again asks for the same thing, not for another one.")
]

NATS_URL = "nats://127.0.0.1:4222"
API_URL = "http://127.0.0.1:5000"
ANSWERS_WITHIN = 30.0
"""Seconds; the forge is asked meanwhile."""


def ask(bus: Bus, command: Command, request_id: str) -> Answer:
    """Return the answer to a command; ends the program where it was not done."""
    return run(bus.ask(command, id=request_id or str(uuid4()), within=ANSWERS_WITHIN))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what the work gives; ends the program where the server does not do its part."""
    try:
        return asyncio.run(work)
    except ServerError as error:
        give_up(str(error))


def pipeline_of(written: str) -> Repository:
    """Return the pipeline that is written, or that of the checkout; ends the program where there is none."""
    try:
        return here.pipeline(written)
    except here.UnknownPipelineError as error:
        give_up(str(error))


def give_up(reason: str) -> NoReturn:
    """Say why, and end the program."""
    print(reason, file=sys.stderr)
    raise typer.Exit(NOT_DONE)
