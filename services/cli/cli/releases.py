"""`estafette release`, `bot`: releases and runs of bots on a server."""

from typing import Annotated

import typer
from estafette_common.bus.messages.commands import StartBot, StartRelease

from cli import here
from cli.asking import NATS_URL, Credentials, NatsUrl, Pipeline, RequestId, ask, pipeline_of
from cli.server import Bus


def release(
    target: Annotated[str, typer.Argument(help="A release target of the manifest.")],
    *,
    version: Annotated[
        str, typer.Option(help="Of a build that succeeded; latest, or current for what is live there.")
    ] = "latest",
    action: Annotated[str, typer.Option(help="One of the actions of the target, where it has some.")] = "",
    pipeline: Pipeline = "",
    request_id: RequestId = "",
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
) -> None:
    """Release a version to a target."""
    command = StartRelease(
        repository=pipeline_of(pipeline), target=target, action=action, version=version, by=here.person()
    )
    answer = ask(Bus(url=nats_url, credentials=nats_credentials), command, request_id)
    print(f"release of {answer.version} to {target} is {answer.status}, id {answer.job_id}")


def bot(
    name: Annotated[str, typer.Argument(help="A bot of the manifest.")],
    *,
    branch: Annotated[str, typer.Option(help="Whose newest build it runs with; else the pipeline's.")] = "",
    pipeline: Pipeline = "",
    request_id: RequestId = "",
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
) -> None:
    """Run a bot."""
    command = StartBot(repository=pipeline_of(pipeline), bot=name, branch=branch, by=here.person())
    answer = ask(Bus(url=nats_url, credentials=nats_credentials), command, request_id)
    print(f"run of {name} is {answer.status}, id {answer.job_id}")
