import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_common.manifest import secrets
from estafette_local.waiting import eventually

TOKEN = "ghs_0123456789abcdefghij"


class PrivateForge:
    """Serves git repositories over HTTP, with git's own program, to who has the token, or to all."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.speaks_version_2 = True
        self.is_open = False
        self.shown: set[str] = set()
        self.refused = 0
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        expected = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        self.shown.add(request.headers.get("Authorization", ""))
        if not self.is_open and request.headers.get("Authorization") != f"Basic {expected}":
            self.refused += 1
            return web.Response(status=401)
        body = await request.read()
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": self._root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", "") if self.speaks_version_2 else "",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        pipe = asyncio.subprocess.PIPE
        program = await asyncio.create_subprocess_exec("git", "http-backend", env=environment, stdin=pipe, stdout=pipe)
        head, _, content = (await program.communicate(body))[0].partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return web.Response(status=int(headers.pop("Status", "200").split()[0]), headers=headers, body=content)


@pytest.fixture
async def private_forge(idle_machine: Any) -> AsyncIterator[PrivateForge]:
    forge = PrivateForge(str(idle_machine.root / "git"))
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", forge.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    forge.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield forge
    await runner.cleanup()


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A forge that takes connections and never answers; gives a URL of it, and what is set once git came."""
    arrived, done = asyncio.Event(), asyncio.Event()

    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await done.wait()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/shop.git", arrived
    finally:
        done.set()
        server.close()


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(name=name, image="busybox:latest", commands=commands, **fields)


async def test_a_private_repository_is_cloned_with_a_token_that_no_stage_can_find(
    machine: Any, private_forge: PrivateForge
) -> None:
    token = secrets.encrypt(TOKEN, key=machine.key)
    look = stage("look", "cat README", "env | grep -c GIT_CONFIG || true", "grep -rc AUTH .git/config || true")
    await machine.start(look, clone_url=f"{private_forge.url}/acme/shop.git", clone_token=token)

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert await machine.printed("look") == ["shop", "0", "0"]
    assert TOKEN.encode() not in b"".join(body for _, body in await machine.messages("JOBS"))
    assert all(TOKEN not in line for line in await machine.printed("git-clone"))


async def test_no_process_list_shows_the_token(machine: Any) -> None:
    token = secrets.encrypt(TOKEN, key=machine.key)
    async with silent_server() as (url, arrived):
        await machine.start(stage("test", "true"), clone_url=url, clone_token=token)
        await arrived.wait()
        seen = _commands()

    encoded = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    assert any("git" in command for command in seen)
    assert not any(TOKEN in command or encoded in command for command in seen)


def _commands() -> list[str]:
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/cmdline", "rb") as file:
                found.append(file.read().decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def test_a_forge_that_refuses_is_asked_three_times_and_the_stage_says_so(
    machine: Any, private_forge: PrivateForge
) -> None:
    await machine.start(stage("test", "echo never"), clone_url=f"{private_forge.url}/acme/shop.git")

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert (await machine.last_change("git-clone")).status == "FAILED"
    assert (await machine.last_change("test")).status == "SKIPPED"
    assert private_forge.refused == 3
    assert "git clone failed" in (await machine.printed("git-clone", stream="stderr"))[-1]


async def test_the_clone_is_shallow_and_without_tags(machine: Any) -> None:
    for number in range(60):
        revision = machine.repository.commit({"README": f"{number}\n"})
    machine.repository._git("tag", "v1", revision)

    await machine.start(stage("look", "git rev-list --count HEAD", "git tag | wc -l"), revision=revision)
    await machine.finished()

    assert [line.strip() for line in await machine.printed("look")] == ["50", "0"]


async def test_a_revision_deeper_than_the_clone_is_fetched(machine: Any) -> None:
    old = machine.revision
    for number in range(60):
        machine.repository.commit({"README": f"{number}\n"})

    await machine.start(stage("look", "cat README", "git rev-parse HEAD"), revision=old)
    await machine.finished()

    assert await machine.printed("look") == ["shop", old]


async def test_a_revision_that_was_pushed_away_is_still_built(machine: Any) -> None:
    lost = machine.repository.commit({"README": "lost\n"})
    machine.repository._git("update-ref", "refs/heads/main", machine.revision)

    await machine.start(stage("look", "cat README"), revision=lost)
    await machine.finished()

    assert await machine.printed("look") == ["lost"]


@pytest.mark.parametrize("branch", ["feature/one-two", "1.x", "emoji-ü"])
async def test_the_work_tree_is_on_the_branch(machine: Any, branch: str) -> None:
    revision = machine.repository.commit({"README": "of the branch\n"}, branch=branch)

    await machine.start(stage("look", "git symbolic-ref --short HEAD"), branch=branch, revision=revision)
    await machine.finished()

    assert await machine.printed("look") == [branch]


async def test_a_repository_of_another_user_is_cloned(machine: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    for folder, _, files in os.walk(machine.repository.path):
        for name in [folder, *(os.path.join(folder, file) for file in files)]:
            os.chown(name, 65534, 65534)

    await machine.start(stage("look", "cat README"))

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED


async def test_a_revision_is_built_although_its_branch_was_deleted_meanwhile(machine: Any) -> None:
    revision = machine.repository.commit({"README": "gone\n"}, branch="gone")
    machine.repository._git("update-ref", "refs/keep/gone", revision)
    machine.repository._git("update-ref", "-d", "refs/heads/gone")

    await machine.start(stage("look", "cat README"), branch="gone", revision=revision)

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED


async def test_a_revision_is_never_taken_for_an_option_of_git(machine: Any) -> None:
    trap = f"--upload-pack=touch {machine.root}/trapped; git-upload-pack"
    await machine.start(stage("test", "true"), revision=trap)

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert not (machine.root / "trapped").exists()


async def test_a_clone_is_stopped_with_its_job(machine: Any) -> None:
    async with silent_server() as (url, arrived):
        await machine.start(stage("test", "true"), clone_url=url)
        await arrived.wait()

        await machine.runtime.remove(machine.job_folder.name)

        await eventually(lambda: not any(url in command for command in _commands()), within=3)


async def test_a_server_that_gives_only_tips_is_asked_for_the_branch(machine: Any, private_forge: PrivateForge) -> None:
    private_forge.speaks_version_2 = False
    old = machine.revision
    machine.repository.commit({"README": "newer\n"})
    token = secrets.encrypt(TOKEN, key=machine.key)

    await machine.start(
        stage("look", "cat README", "git rev-parse origin/main"),
        revision=old,
        clone_url=f"{private_forge.url}/acme/shop.git",
        clone_token=token,
    )

    assert (await machine.finished()).outcome is Outcome.SUCCEEDED
    assert await machine.printed("look") == ["shop", old]


async def test_the_branch_follows_its_origin_as_after_a_clone(machine: Any) -> None:
    await machine.start(stage("look", "git rev-parse --abbrev-ref @{u}", "git fetch && git status -s", "git branch -r"))
    await machine.finished()

    assert [line.strip() for line in await machine.printed("look")] == ["origin/main", "origin/main"]


async def test_a_token_is_shown_to_no_server_that_another_names(machine: Any, private_forge: PrivateForge) -> None:
    private_forge.is_open = True

    async def send_away(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{private_forge.url}{request.path_qs}")

    async with server(send_away) as first:
        token = secrets.encrypt(TOKEN, key=machine.key)
        await machine.start(stage("test", "true"), clone_url=f"{first}/acme/shop.git", clone_token=token)

        await machine.finished()
        assert private_forge.shown <= {""}


@asynccontextmanager
async def server(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Give the URL of a server that answers everything so."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
