"""`estafette why`: what the server decided, and for what reason."""

import asyncio
from typing import Annotated

import typer

from cli import here, reasons
from cli.asking import API_URL, ApiUrl, Pipeline, give_up
from cli.server import ServerError, api


def why(
    *,
    revision: Annotated[str, typer.Option(help="Of a commit, at least 7 digits: why it was built or not.")] = "",
    delivery: Annotated[str, typer.Option(help="Id of a webhook, as the forge shows it: what it led to.")] = "",
    pipeline: Pipeline = "",
    api_url: ApiUrl = API_URL,
) -> None:
    """Tell why a revision was built or not, or what the delivery of a webhook led to."""
    if bool(revision) == bool(delivery):
        give_up("write either --revision or --delivery")
    try:
        lines = asyncio.run(_of_delivery(api_url, delivery) if delivery else _of_revision(api_url, pipeline, revision))
    except (ServerError, here.UnknownPipelineError) as error:
        give_up(str(error))
    print("\n".join(lines))


async def _of_revision(api_url: str, pipeline: str, revision: str) -> list[str]:
    place = here.pipeline(pipeline)
    async with api(api_url) as reader:
        return list(reasons.of_revision(await reader.decisions(place, revision), place.pipeline))


async def _of_delivery(api_url: str, delivery: str) -> list[str]:
    async with api(api_url) as reader:
        return list(reasons.of_delivery(await reader.delivery(delivery)))
