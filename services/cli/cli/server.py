"""The server, as seen from the command line: commands go to NATS, reading goes to the API."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import nats
import nats.errors
import structlog
from estafette_common.bus.messages.commands import Answer, Command
from estafette_common.bus.publishing import NotStoredError
from estafette_common.bus.requesting import NoAnswerError, Requester
from estafette_common.jobs.plan import Repository
from nats.aio.client import Client

CONNECTS_WITHIN = 5
"""Seconds."""


class ServerError(Exception):
    """The server cannot be asked, or refuses; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """Where commands go."""

    url: str
    credentials: Path | None

    async def ask(self, command: Command, *, id: str, within: float) -> Answer:
        """Return the answer to a command; ServerError when there is none, or where it was not done."""
        async with self.connected() as client:
            try:
                answer = await Requester(client, source="cli").ask(command, id=id, within=within)
            except NoAnswerError as error:
                raise ServerError(f"{error}; it is stored and will be done. To hear of it, add --id {id}") from None
            except (NotStoredError, nats.errors.Error) as error:
                raise ServerError(f"it could not be stored: {error}") from None
        if answer.error is not None:
            raise ServerError(answer.message or answer.error)
        return answer

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """Give a connection for as long as the block; ServerError when there is none to be had."""
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        try:
            client = await nats.connect(
                self.url,
                user_credentials=self.credentials,
                connect_timeout=CONNECTS_WITHIN,
                allow_reconnect=False,
                error_cb=_ignore,
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise ServerError(f"NATS at {self.url} lets nobody in: {error or type(error).__name__}") from None
        try:
            yield client
        finally:
            await client.close()


class Api:
    """Reads what the server knows. Use as `async with api(url) as …`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def status(self) -> dict[str, Any]:
        """Return how many jobs there are in which state."""
        return await self._get("/api/status", {})

    async def newest(self, *, size: int) -> list[dict[str, Any]]:
        """Return the newest build of each of the pipelines that were built last."""
        found = await self._get("/api/pipelines", {"page[size]": str(size), "sort": "-inserted"})
        items: list[dict[str, Any]] = found["items"]
        return items

    async def builds(self, pipeline: Repository, *, size: int) -> list[dict[str, Any]]:
        """Return the newest builds of a pipeline, as the API has them."""
        found = await self._get(f"{_path(pipeline)}/builds", {"page[size]": str(size)})
        items: list[dict[str, Any]] = found["items"]
        return items

    async def build(self, pipeline: Repository, build_id: str) -> dict[str, Any]:
        """Return a build, by its id or its revision."""
        return await self._get(f"{_path(pipeline)}/builds/{quote(build_id, safe='')}", {})

    async def decisions(self, pipeline: Repository, revision: str) -> dict[str, Any]:
        """Return what was decided about a revision, which may be shortened."""
        return await self._get(f"{_path(pipeline)}/decisions", {"filter[revision]": revision})

    async def delivery(self, delivery: str) -> dict[str, Any]:
        """Return what the delivery of a webhook led to."""
        return await self._get(f"/api/deliveries/{quote(delivery, safe='')}", {})

    async def log(self, pipeline: Repository, build_id: str) -> list[dict[str, Any]]:
        """Return the steps of the newest log of a build."""
        steps: list[dict[str, Any]] = (await self._get(f"{_path(pipeline)}/builds/{build_id}/logs", {}))["steps"]
        return steps

    async def follow(self, pipeline: Repository, build_id: str) -> AsyncIterator[dict[str, Any]]:
        """Give the events of a log until it has ended; goes on where it was when the connection breaks."""
        url, last = f"{self._url}{_path(pipeline)}/builds/{build_id}/logs/tail", ""
        failures = 0
        while True:
            try:
                headers = {"Last-Event-ID": last} if last else {}
                async with self._session.get(url, headers=headers, timeout=FOLLOWING) as response:
                    await _expect_ok(response)
                    async for name, event_id, data in _events(response):
                        failures = 0
                        if name == "close":
                            return
                        if name == "log":
                            last = event_id
                            yield json.loads(data)
            except (aiohttp.ClientError, TimeoutError) as error:
                last_error: object = error
            else:
                last_error = "it ended too early"
            failures += 1
            if failures > MOST_FAILURES:
                raise ServerError(f"the log cannot be followed: {last_error}")

    async def _get(self, path: str, parameters: dict[str, str]) -> dict[str, Any]:
        try:
            async with self._session.get(self._url + path, params=parameters) as response:
                await _expect_ok(response)
                found: dict[str, Any] = await response.json()
                return found
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ServerError(f"the API at {self._url} cannot be read: {error or type(error).__name__}") from None


FOLLOWING = aiohttp.ClientTimeout(total=None, sock_read=30)
"""A log may take hours; the API gives a sign of life every few seconds."""

MOST_FAILURES = 5
"""Tries without a single event after which a log is given up."""


@asynccontextmanager
async def api(url: str) -> AsyncIterator[Api]:
    """Open the API at a URL."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield Api(session, url)


def _path(pipeline: Repository) -> str:
    return "/api/pipelines/" + "/".join(
        quote(each, safe="") for each in (pipeline.source, pipeline.owner, pipeline.name)
    )


async def _expect_ok(response: aiohttp.ClientResponse) -> None:
    if response.status == 200:
        return
    try:
        message = str((await response.json())["message"])
    except (aiohttp.ClientError, ValueError, KeyError, TypeError):
        message = f"the API answers {response.status} {response.reason}"
    raise ServerError(message)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str, str]]:
    """Give name, id and data of each server-sent event."""
    rest = b""
    async for piece in response.content.iter_any():
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            fields = dict(line.partition(": ")[::2] for line in event.decode().splitlines())
            yield fields.get("event", ""), fields.get("id", ""), fields.get("data", "")


async def _ignore(_: Exception) -> None:
    """Errors are told by what fails of them."""
