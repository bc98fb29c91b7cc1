"""Whether a service is ready: by a command in it, by an HTTP request, or by its port alone."""

import asyncio
from contextlib import suppress

import aiohttp
from estafette_common.jobs.plan import Probe

from builder.runtimes import PreparedStage, StageError

EVERY = 0.5
"""Seconds between two questions."""

ANSWERED_WITHIN = 2.0
"""Seconds for one answer."""


async def wait_until_ready(service: PreparedStage, probe: Probe) -> None:
    """Return once the service is ready; StageError says what was asked when that takes too long."""
    last = "nothing was asked"
    try:
        async with asyncio.timeout(probe.timeout):
            while (last := await _ask(service, probe)) != "":  # noqa: ASYNC110  nobody else would tell
                await asyncio.sleep(EVERY)
    except TimeoutError:
        raise StageError(f"not ready within {probe.timeout:g} s: {last}") from None


async def _ask(service: PreparedStage, probe: Probe) -> str:
    """Return nothing when the service is ready, or else what it answered."""
    try:
        async with asyncio.timeout(ANSWERED_WITHIN):
            if probe.command:
                code = await service.execute(probe.command)
                return f"{' '.join(probe.command)} ended with {code}" if code else ""
            address = await service.address()
            if not address:
                return "it has no address yet"
            return await (_http(address, probe) if probe.path else _port(address, probe))
    except (TimeoutError, StageError, OSError, aiohttp.ClientError) as error:
        return f"{probe.scheme}://{probe.host}:{probe.port}{probe.path}: {error or type(error).__name__}"


async def _http(address: str, probe: Probe) -> str:
    path = probe.path if probe.path.startswith("/") else f"/{probe.path}"
    url = f"{probe.scheme}://{address}:{probe.port}{path}"
    # Certificates of services that live for one stage are signed by nobody.
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Host": probe.host}, ssl=False) as answer:
        return "" if answer.ok else f"GET {path} was answered {answer.status}"


async def _port(address: str, probe: Probe) -> str:
    _, writer = await asyncio.open_connection(address, probe.port)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""
