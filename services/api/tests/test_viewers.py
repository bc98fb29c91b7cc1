"""Viewers that come late, are slow, or go."""

import asyncio
import json
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import aiohttp
import pytest

MANY = 2_500
"""Chunks; what a build that prints all the time makes in four minutes."""

BIG = ["x" * 150_000] * 150
"""Lines; more than what the sockets between server and viewer hold."""

UNLIMITED = aiohttp.ClientTimeout(total=None)


@asynccontextmanager
async def stuck_viewer(scene: Any) -> AsyncIterator[None]:
    """A viewer that asks for the live log and does not read the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(scene.url.rpartition(":")[2]), limit=1024)
    writer.write(f"GET {scene.stream_path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readline()
    yield
    writer.transport.abort()


async def in_one_go(scene: Any) -> list[str]:
    """Return the lines that one single request gets."""
    async with scene.session.get(scene.url + scene.stream_path, timeout=UNLIMITED) as response:
        data = [line.removeprefix(b"data: ") async for line in response.content if line.startswith(b"data: {")]
    return [json.loads(each)["logLine"]["text"].rstrip("\n") for each in data]


async def test_a_line_is_at_its_viewer_within_milliseconds(scene: Any) -> None:
    await scene.build()
    took = []
    async with scene.session.get(scene.url + scene.stream_path, timeout=UNLIMITED) as response:
        await scene.followed()
        for chunk in scene.log(*(f"{n}" for n in range(30))):
            began = perf_counter()
            await scene.publish(chunk)
            while not (await response.content.readline()).startswith(b"data: {"):
                pass
            took.append(perf_counter() - began)

    assert statistics.median(took) < 0.025


async def test_a_viewer_gets_a_long_log_in_one_go(scene: Any) -> None:
    await scene.build()
    texts = [f"{n}" for n in range(MANY)]
    await scene.publish(*scene.log(*texts))
    await scene.end()

    assert await in_one_go(scene) == texts


async def test_a_viewer_who_comes_late_gets_a_long_log_in_one_go(scene: Any) -> None:
    await scene.build()
    texts = [f"{n}" for n in range(MANY)]
    chunks = scene.log(*texts)
    early = scene.viewer()
    await scene.publish(*chunks[:-1])
    late = asyncio.ensure_future(in_one_go(scene))
    await asyncio.sleep(0)

    await scene.publish(chunks[-1])
    await scene.end()

    assert scene.texts(await early) == texts
    assert await late == texts


async def test_a_viewer_who_does_not_read_delays_no_other(scene: Any) -> None:
    await scene.build()
    async with stuck_viewer(scene):
        viewer = scene.viewer()
        await scene.followed()
        await scene.publish(*scene.log(*BIG))
        await scene.end()

        async with asyncio.timeout(10):
            assert len(await viewer) == len(BIG)


@pytest.mark.parametrize("viewer_patience", [0.5])
async def test_a_viewer_who_does_not_read_is_cut_off(scene: Any) -> None:
    await scene.build()
    async with stuck_viewer(scene):
        await scene.followed()

        await scene.publish(*scene.log(*BIG))

        await scene.followed(by=0)


async def test_nothing_is_followed_any_more_when_the_last_viewer_went(scene: Any) -> None:
    await scene.build()
    viewers = [scene.viewer() for _ in range(3)]
    await scene.followed()

    for viewer in viewers:
        viewer.cancel()
    await scene.publish(*scene.log("1", "2"))

    await scene.followed(by=0)


async def test_an_idle_stream_gives_signs_of_life(scene: Any) -> None:
    await scene.build()

    async with scene.session.get(scene.url + scene.stream_path, timeout=UNLIMITED) as response:
        async with asyncio.timeout(8):
            told = [await response.content.readline() for _ in range(2)]

    assert told == [b"event: ping\n", b"data: true\n"]


async def test_the_stream_is_told_as_server_sent_events_that_no_proxy_holds_back(scene: Any) -> None:
    await scene.build(status="succeeded")
    await scene.store(*scene.log("1"))

    async with scene.session.get(scene.url + scene.stream_path) as response:
        body = await response.text()

    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert "Content-Encoding" not in response.headers
    assert body.startswith("event: log\nid: 1-1\ndata: {")
    assert body.endswith("event: close\ndata: true\n\n")
