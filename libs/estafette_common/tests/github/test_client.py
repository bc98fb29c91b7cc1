import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from estafette_common.bus.delivery import PermanentError, TemporaryError
from estafette_common.github.client import CommitStatus, GithubClient
from estafette_common.github.settings import GithubSettings
from estafette_local.forge import OPENAPI, FakeForge
from estafette_local.people import GitRepository
from estafette_local.servers import free_port

needs_openapi = pytest.mark.skipif(
    not OPENAPI.exists(), reason="GitHub's OpenAPI document is missing; run `make setup`"
)

REVISION = "c" * 40
STATUS = CommitStatus(state="success", target_url="http://ci/1", description="fine", context="estafette")

Answer = Callable[[web.Request], Awaitable[web.Response]]
Serve = Callable[[Answer], Awaitable[str]]


@pytest.fixture
async def forge(tmp_path: Path) -> AsyncIterator[FakeForge]:
    async with FakeForge(tmp_path) as forge:
        yield forge
    assert forge.violations == []


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Answer every request to a server of the test's own; returns where it is."""
    runners = []

    async def start(answer: Answer) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{port}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[GithubClient]]]:
    """Return a client of the settings."""
    clients = []

    async def start(url: str, **settings: Any) -> GithubClient:
        client = GithubClient(GithubSettings(github_api_url=url, **settings))
        clients.append(client)
        await client.start()
        return client

    yield start
    for client in clients:
        await client.stop()


Connect = Callable[..., Awaitable[GithubClient]]


@needs_openapi
async def test_the_head_of_a_branch_is_found(forge: FakeForge, connect: Connect, tmp_path: Path) -> None:
    revision = GitRepository(tmp_path, "acme", "shop").commit({"README": "x"}, branch="feature/x")
    client = await connect(forge.url, github_token="t")

    assert await client.branch_head("acme", "shop", "feature/x", installation=None) == revision
    assert await client.branch_head("acme", "shop", "feature", installation=None) is None


@needs_openapi
async def test_a_file_is_read_at_its_revision(forge: FakeForge, connect: Connect, tmp_path: Path) -> None:
    repository = GitRepository(tmp_path, "acme", "shop")
    first = repository.commit({".estafette.yaml": "first: ü"})
    repository.commit({".estafette.yaml": "second"})
    client = await connect(forge.url, github_token="t")

    text = await client.read_file("acme", "shop", ".estafette.yaml", revision=first, installation=None)
    none = await client.read_file("acme", "shop", "missing", revision=first, installation=None)

    assert (text, none) == ("first: ü", None)


@needs_openapi
async def test_a_status_that_was_told_is_found_again(forge: FakeForge, connect: Connect) -> None:
    client = await connect(forge.url, github_token="t")

    await client.create_commit_status("acme", "shop", REVISION, STATUS, installation=None)

    assert await client.commit_statuses("acme", "shop", REVISION, installation=None) == [STATUS]


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (500, {}, TemporaryError),
        (502, {}, TemporaryError),
        (429, {}, TemporaryError),
        (403, {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, TemporaryError),
        (403, {"Retry-After": "30"}, TemporaryError),
        (401, {}, PermanentError),
        (403, {}, PermanentError),
        (404, {}, PermanentError),
        (422, {}, PermanentError),
    ],
)
async def test_what_github_answers_is_tried_again_or_never(
    serve: Serve, connect: Connect, status: int, headers: dict[str, str], kind: type[Exception]
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"message": "no"}, status=status, headers=headers)

    client = await connect(await serve(answer), github_token="s3cret")

    with pytest.raises(kind) as raised:
        await client.create_commit_status("acme", "shop", REVISION, STATUS, installation=None)
    assert "s3cret" not in str(raised.value)


async def test_a_limit_is_waited_for_as_long_as_it_says(serve: Serve, connect: Connect) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"message": "slow down"}, status=429, headers={"Retry-After": "30"})

    client = await connect(await serve(answer), github_token="t")

    with pytest.raises(TemporaryError) as raised:
        await client.create_commit_status("acme", "shop", REVISION, STATUS, installation=None)
    assert raised.value.delay == 30


async def test_a_revision_that_has_not_reached_every_server_is_asked_for_again(serve: Serve, connect: Connect) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"message": f"No commit found for the ref {REVISION}"}, status=404)

    client = await connect(await serve(answer), github_token="t")

    with pytest.raises(TemporaryError):
        await client.read_file("acme", "shop", ".estafette.yaml", revision=REVISION, installation=None)


async def test_a_forge_that_is_away_is_tried_again(connect: Connect) -> None:
    client = await connect(f"http://127.0.0.1:{free_port()}", github_token="t")

    with pytest.raises(TemporaryError):
        await client.read_file("acme", "shop", ".estafette.yaml", revision=REVISION, installation=None)


@pytest.fixture(scope="session")
def app_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def key_file(app_key: rsa.RSAPrivateKey, tmp_path: Path) -> Path:
    file = tmp_path / "app.pem"
    file.write_bytes(app_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


@needs_openapi
async def test_an_app_acts_as_its_installation(forge: FakeForge, connect: Connect, key_file: Path) -> None:
    client = await connect(forge.url, github_app_id="12", github_app_key_file=key_file)

    await client.create_commit_status("acme", "shop", REVISION, STATUS, installation=7)

    assert forge.states(REVISION) == ["success"]


async def test_an_app_signs_with_its_key_and_keeps_the_token(
    serve: Serve, connect: Connect, key_file: Path, app_key: rsa.RSAPrivateKey
) -> None:
    signed: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        signed.append(request.headers["Authorization"].partition(" ")[2])
        return web.json_response({"token": "ghs_1", "expires_at": "2099-01-01T00:00:00Z"}, status=201)

    client = await connect(await serve(answer), github_app_id="12", github_app_key_file=key_file)

    assert [await client.token("acme", "shop", 7), await client.token("acme", "shop", 7)] == ["ghs_1", "ghs_1"]
    [token] = signed
    assert jwt.decode(token, app_key.public_key(), algorithms=["RS256"])["iss"] == "12"


async def test_callers_at_once_share_one_token(serve: Serve, connect: Connect, key_file: Path) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"token": "ghs_1", "expires_at": "2099-01-01T00:00:00Z"}, status=201)

    client = await connect(await serve(answer), github_app_id="12", github_app_key_file=key_file)

    await asyncio.gather(*(client.token("acme", "shop", 7) for _ in range(4)))

    assert len(asked) == 1


@needs_openapi
async def test_an_app_finds_its_installation_when_the_event_names_none(
    forge: FakeForge, connect: Connect, key_file: Path
) -> None:
    forge.installed.add("acme")
    client = await connect(forge.url, github_app_id="12", github_app_key_file=key_file, github_token="fallback")

    assert await client.token("acme", "shop", None) == "ghs_sample"
    assert await client.clone_token("acme", "shop", None) == "ghs_sample"
    assert await client.token("somebody", "else", None) == "fallback"


@pytest.mark.parametrize("key", [None, Path("/nowhere/app.pem")])
def test_an_app_without_its_key_is_refused_at_the_start(key: Path | None) -> None:
    with pytest.raises(ValueError, match="ESTAFETTE_GITHUB_APP_KEY_FILE"):
        GithubSettings(github_app_id="12", github_app_key_file=key)


@pytest.mark.parametrize(
    ("api", "url", "may"),
    [
        ("https://api.github.com", "https://github.com/acme/shop.git", True),
        ("https://api.github.com", "http://github.com/acme/shop.git", False),
        ("https://api.github.com", "https://git.example.com/acme/shop.git", False),
        ("https://api.github.com", "https://github.com.example.com/acme/shop.git", False),
        ("https://api.github.com", "https://x@example.com/github.com/shop.git", False),
        ("https://api.github.com", "file:///repositories/acme/shop.git", False),
        ("https://ghe.example.com/api/v3", "https://ghe.example.com/acme/shop.git", True),
        ("https://ghe.example.com/api/v3", "https://github.com/acme/shop.git", False),
    ],
)
async def test_only_github_itself_is_shown_a_token(connect: Connect, api: str, url: str, *, may: bool) -> None:
    client = await connect(api)

    assert client.may_see_tokens(url) is may
