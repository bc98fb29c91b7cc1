import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from estafette_local.servers import free_port
from web.app import create_app
from web.settings import Settings
from yarl import URL


async def serve(app: web.Application) -> tuple[web.AppRunner, str]:
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, f"http://127.0.0.1:{port}"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>page</h1>")
    (folder / "assets" / "app-1234.js").write_text("1")
    (tmp_path / "outside").write_text("outside")
    return folder


@pytest.fixture
async def url(page: Path) -> AsyncIterator[str]:
    runner, url = await serve(create_app(Settings(page_dir=page)))
    yield url
    await runner.cleanup()


@pytest.mark.parametrize("path", ["/", "/pipelines", "/pipelines/github.com/acme/shop.api/builds/7"])
async def test_every_address_of_the_page_is_the_page(url: str, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(url + path) as response:
        assert await response.text() == "<h1>page</h1>"
        assert response.headers["Cache-Control"] == "no-cache"
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_assets_are_kept_for_ever(url: str, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{url}/assets/app-1234.js") as response:
        assert "immutable" in response.headers["Cache-Control"]
    async with http.get(f"{url}/assets/none.js") as response:
        assert response.status == 404


@pytest.mark.parametrize("path", ["/..%2foutside", "/assets/..%2f..%2foutside", "/%2e%2e/outside"])
async def test_no_path_leads_out_of_the_folder(url: str, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(URL(url + path, encoded=True)) as response:
        assert "outside" not in await response.text()


async def test_a_page_that_is_not_built_says_what_to_do(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    runner, url = await serve(create_app(Settings(page_dir=tmp_path)))

    async with http.get(url) as response:
        assert response.status == 503
        assert "make web" in await response.text()
    await runner.cleanup()


async def test_the_api_is_passed_through_as_it_comes(page: Path, http: aiohttp.ClientSession) -> None:
    more = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"id: {request.headers['Last-Event-ID']}\n\n".encode())
        await more.wait()
        await response.write(b"end\n\n")
        return response

    api = web.Application()
    api.add_routes([web.get("/api/stream", stream)])
    api_runner, api_url = await serve(api)
    runner, url = await serve(create_app(Settings(page_dir=page, api_url=api_url)))

    async with http.get(f"{url}/api/stream?a=%2F", headers={"Last-Event-ID": "1-2"}) as response:
        first = await response.content.readany()
        more.set()
        rest = await response.content.read()

    assert (first, rest) == (b"id: 1-2\n\n", b"end\n\n")
    await runner.cleanup()
    await api_runner.cleanup()


async def test_an_api_that_is_away_is_told(page: Path, http: aiohttp.ClientSession) -> None:
    runner, url = await serve(create_app(Settings(page_dir=page, api_url=f"http://127.0.0.1:{free_port()}")))

    async with http.get(f"{url}/api/pipelines") as response:
        assert response.status == 502
        assert (await response.json())["code"] == "Bad Gateway"
    await runner.cleanup()
