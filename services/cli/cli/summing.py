"""`estafette status`: the whole system on one screen."""

import nats.errors
import nats.js.errors
from estafette_common.bus.subjects import DEAD, STREAMS
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo

from cli import overview
from cli.overview import Messages, Waiting
from cli.server import Bus, ServerError, api


async def look(api_url: str, bus: Bus, *, most: int) -> tuple[list[str], bool]:
    """Return the lines of the summary, and whether everybody could be asked; what could not be says so itself."""
    jobs, jobs_known = await _jobs(api_url, most)
    messages, messages_known = await _messages(bus)
    newest = jobs.pop("newest", [])
    return [*jobs["lines"], *messages, *newest], jobs_known and messages_known


async def _jobs(api_url: str, most: int) -> tuple[dict[str, list[str]], bool]:
    try:
        async with api(api_url) as reader:
            counted, builds = await reader.status(), await reader.newest(size=most)
    except ServerError as error:
        return {"lines": [f"jobs      {error}"]}, False
    return {"lines": list(overview.jobs(counted)), "newest": list(overview.newest(builds))}, True


async def _messages(bus: Bus) -> tuple[list[str], bool]:
    try:
        async with bus.connected() as client:
            return list(overview.messages(await _count(client))), True
    except (ServerError, nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
        return [f"messages  {error or type(error).__name__}"], False


async def _count(client: Client) -> Messages:
    jetstream = client.jetstream()
    kept: dict[str, int] = {}
    waiting: list[Waiting] = []
    for stream in STREAMS.values():
        try:
            kept[stream.name] = (await jetstream.stream_info(stream.name)).state.messages
        except nats.js.errors.NotFoundError:  # no service was ever started
            continue
        waiting += await _waiting(jetstream, stream.name)
    return Messages(kept=kept, waiting=waiting, dead=kept.pop(STREAMS[DEAD].name, 0))


async def _waiting(jetstream: JetStreamContext, stream: str) -> list[Waiting]:
    """Return what each consumer of a stream has before it; those that only look at it pass."""
    found: list[ConsumerInfo] = []
    while len(page := await jetstream.consumers_info(stream, offset=len(found))) == PAGE:
        found += page
    return [
        Waiting(consumer=info.name, count=(info.num_pending or 0) + (info.num_ack_pending or 0))
        for info in [*found, *page]
        if info.config.durable_name
    ]


PAGE = 256
"""Consumers that nats-server lists at once."""
