"""Manifests read by plain git."""

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from estafette_common.bus.delivery import TemporaryError
from estafette_common.bus.messages.events import GitPushed
from estafette_common.github.client import GithubClient
from estafette_common.github.settings import GithubSettings
from estafette_common.jobs.plan import Repository
from estafette_local.git_server import git_server
from estafette_local.people import GitRepository
from estafette_local.servers import free_port
from manifest_planner.clones import Clones
from manifest_planner.git import GitManifests
from manifest_planner.git_servers import GitServers

MANIFEST = ".estafette.yaml"


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return GitRepository(tmp_path / "repositories", "acme", "shop")


@pytest.fixture
async def servers() -> AsyncIterator[GitServers]:
    servers = GitServers()
    await servers.start()
    yield servers
    await servers.stop()


@pytest.fixture
def manifests(tmp_path: Path, servers: GitServers) -> GitManifests:
    return replica(tmp_path, servers)


def replica(folder: Path, servers: GitServers, *, clone_url: str = "", token: str = "") -> GitManifests:
    github = GithubClient(GithubSettings(github_token=token))
    url = clone_url or f"file://{folder}/repositories/{{owner}}/{{name}}.git"
    return GitManifests(servers, Clones(folder / "cache"), url, github)


def pushed(revision: str, *, source: str = "github.com") -> GitPushed:
    place = Repository(source=source, owner="acme", name="shop")
    return GitPushed(repository=place, ref="refs/heads/main", revision=revision)


async def test_the_manifest_is_the_one_of_the_pushed_revision(
    repository: GitRepository, manifests: GitManifests
) -> None:
    first = repository.commit({MANIFEST: "first"})
    second = repository.commit({MANIFEST: "second"})

    assert await manifests.read(pushed(first)) == "first"
    assert await manifests.read(pushed(second)) == "second"


async def test_a_revision_without_a_manifest_has_none(repository: GitRepository, manifests: GitManifests) -> None:
    revision = repository.commit({"README.md": "a shop"})

    assert await manifests.read(pushed(revision)) is None


async def test_replicas_that_share_a_cache_read_at_the_same_time(
    repository: GitRepository, tmp_path: Path, servers: GitServers
) -> None:
    revisions = [repository.commit({MANIFEST: f"{number}"}) for number in range(6)]
    replicas = [replica(tmp_path, servers) for _ in range(2)]

    async def read(each: GitManifests, revision: str) -> str | None:
        for _ in range(10):
            try:
                return await each.read(pushed(revision))
            except TemporaryError:  # the bus would try again
                continue
        raise AssertionError("never read")

    texts = await asyncio.gather(*(read(each, revision) for revision in revisions for each in replicas))

    assert texts == [f"{number}" for number in range(6) for _ in replicas]


async def test_the_head_of_a_branch_is_found(repository: GitRepository, manifests: GitManifests) -> None:
    revision = repository.commit({MANIFEST: "first"}, branch="feature/x")
    place = pushed(revision).repository

    assert await manifests.head(place, "feature/x", None) == revision
    assert [await manifests.head(place, name, None) for name in ("x", "feature", "feature/*")] == [None, None, None]


async def test_a_repository_that_is_away_is_asked_again(manifests: GitManifests) -> None:
    with pytest.raises(TemporaryError):
        await manifests.read(pushed("a" * 40))


@pytest.mark.parametrize("lock", ["shallow.lock", "config.lock"])
async def test_what_a_crash_leaves_behind_does_no_harm(
    repository: GitRepository, manifests: GitManifests, tmp_path: Path, lock: str
) -> None:
    first = repository.commit({MANIFEST: "first"})
    await manifests.read(pushed(first))
    [clone] = (tmp_path / "cache").iterdir()
    (clone / lock).touch()
    second = repository.commit({MANIFEST: "second"})

    assert await manifests.read(pushed(second)) == "second"


async def test_a_revision_of_which_only_the_commit_is_there_yet_is_read_whole(
    repository: GitRepository, manifests: GitManifests, tmp_path: Path
) -> None:
    """As another replica leaves it for a moment, for a fetch writes one object after the other."""
    await manifests.read(pushed(repository.commit({MANIFEST: "first"})))
    second = repository.commit({MANIFEST: "second"})
    [cache] = (tmp_path / "cache").iterdir()
    place = Path("objects") / second[:2] / second[2:]
    (cache / place).parent.mkdir(exist_ok=True)
    shutil.copy(repository.path / place, cache / place)

    assert await manifests.read(pushed(second)) == "second"


async def test_the_credential_for_github_is_shown_to_no_other_server(tmp_path: Path, servers: GitServers) -> None:
    shown: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        shown.append(request.headers.get("Authorization", ""))
        return web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    url = f"http://127.0.0.1:{port}/{{owner}}/{{name}}.git"

    with pytest.raises(TemporaryError):
        await replica(tmp_path, servers, clone_url=url, token="s3cret").read(pushed("a" * 40, source="git.example.com"))
    await runner.cleanup()

    assert shown
    credential = base64.b64encode(b"x-access-token:s3cret").decode()
    assert not any(credential in each for each in shown)


async def test_over_http_no_clone_is_made(repository: GitRepository, tmp_path: Path, servers: GitServers) -> None:
    folders = {f"folder-{number}/file": "x" * 100 * number for number in range(30)}
    revision = repository.commit({MANIFEST: "first", "README.md": "a shop", **folders})
    bare = repository.commit({"README.md": "a shop"})
    root = tmp_path / "repositories"

    async with git_server(root) as url:
        manifests = replica(tmp_path, servers, clone_url=f"{url}/{{owner}}/{{name}}.git")

        assert await manifests.read(pushed(revision)) == "first"
        assert await manifests.read(pushed(bare)) is None
        assert await manifests.head(pushed(bare).repository, "main", None) == bare
        assert await manifests.head(pushed(bare).repository, "mai", None) is None
    assert not (tmp_path / "cache").exists()


async def test_a_server_without_filters_is_read_with_a_clone(
    repository: GitRepository, tmp_path: Path, servers: GitServers
) -> None:
    revision = repository.commit({MANIFEST: "first"})

    async with git_server(tmp_path / "repositories", filters=False) as url:
        manifests = replica(tmp_path, servers, clone_url=f"{url}/{{owner}}/{{name}}.git")

        assert await manifests.read(pushed(revision)) == "first"
    assert (tmp_path / "cache").exists()


async def test_a_revision_that_the_server_does_not_have_is_asked_for_again(
    repository: GitRepository, tmp_path: Path, servers: GitServers
) -> None:
    repository.commit({MANIFEST: "first"})

    async with git_server(tmp_path / "repositories") as url:
        with pytest.raises(TemporaryError):
            await replica(tmp_path, servers, clone_url=f"{url}/{{owner}}/{{name}}.git").read(pushed("a" * 40))
