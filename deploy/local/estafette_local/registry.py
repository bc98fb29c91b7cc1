"""Debian's docker-registry on loopback, which a Docker Engine trusts without TLS (127.0.0.0/8)."""

import asyncio
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
from aiohttp import web
from estafette_common.manifest import secrets

from estafette_local.servers import ServerError, free_port, wait_for_port

PROGRAM = "docker-registry"

BASE = "busybox:latest"
"""What images are made from."""

USERNAME = "ci"
PASSWORD = "hunter2-hunter2"  # noqa: S105  of a registry that lives as long as a test

HTPASSWD = "ci:$2y$05$zraQENOy5voiT9XBURlQbu6PYPq2RrUiFTl.grVZi8Oppdv01IBmS\n"
"""Name and password as `htpasswd -nbB` writes them."""


class Registry:
    """A registry that lets in who knows the password."""

    username = USERNAME
    password = PASSWORD

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """What its images begin with."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        program = shutil.which(PROGRAM)
        if program is None:
            raise ServerError(f"{PROGRAM} is not on PATH; apt-get install {PROGRAM}")
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords = self.folder / "htpasswd"
        passwords.write_text(HTPASSWD)
        file = self.folder / "config.yml"
        file.write_text(
            json.dumps(
                {
                    "version": 0.1,
                    "log": {"level": "warn"},
                    "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
                    "http": {"addr": self.host},
                    "auth": {"htpasswd": {"realm": "test", "path": str(passwords)}},
                }
            )
        )
        output = self.folder / "registry.log"
        with output.open("ab") as log:
            self._process = subprocess.Popen([program, "serve", str(file)], stdout=log, stderr=log)
        wait_for_port(self.port, self._process, output)

    def stop(self) -> None:
        """End it and wait until it is gone."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


@dataclass(frozen=True, slots=True)
class Shelf:
    """A registry, and an engine that can fill it."""

    registry: Registry
    engine: aiodocker.Docker

    async def publish(self, name: str, content: str) -> str:
        """Put an image into the registry whose /content says that, and return its reference. The engine forgets it."""
        reference = f"{self.registry.host}/{name}"
        await self.push(reference, content)
        await self.engine.images.delete(reference, force=True)
        return reference

    async def push(self, reference: str, content: str) -> None:
        """Put an image into the registry as in `publish`; the engine keeps it."""
        repository, _, tag = reference.rpartition(":")
        container: Any = await self.engine.containers.create({"Image": BASE, "Cmd": ["cat", "/content"]})
        try:
            await container.put_archive("/", _archive("content", content))
            await container.commit(repository=repository, tag=tag)
        finally:
            await container.delete(force=True)
        await self.engine.images.push(reference, auth=self.login_of_engine)

    @property
    def login_of_engine(self) -> dict[str, str]:
        """Name and password, as the engine takes them."""
        return {"username": self.registry.username, "password": self.registry.password}

    def credential(self, machine: Any, **fields: Any) -> dict[str, Any]:
        """Return the credential of this registry, as a plan has it whose secrets the machine's key opens."""
        password = secrets.encrypt(self.registry.password, key=machine.key)
        properties = {"repository": self.registry.host, "username": self.registry.username, "password": password}
        return {"name": "ours", "type": "container-registry", "additionalProperties": properties | fields}

    async def has(self, reference: str) -> bool:
        """Return whether the engine has an image."""
        try:
            await self.engine.images.inspect(reference)
        except aiodocker.DockerError:
            return False
        return True


def _archive(name: str, content: str) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content.encode())
        archive.addfile(info, io.BytesIO(content.encode()))
    return held.getvalue()


@dataclass(slots=True)
class Door:
    """Stands before a registry, counts what passes, and holds layers back while it is shut."""

    host: str
    manifests: list[str] = field(default_factory=list)
    """Names of the images that were asked for."""
    layers: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def shelf_of(registry: Registry, engine: aiodocker.Docker) -> AsyncIterator[Shelf]:
    """Give the registry with the engine, which forgets its images afterwards."""
    yield Shelf(registry, engine)
    await _forget(engine, registry.host)


@asynccontextmanager
async def door_of(shelf: Shelf) -> AsyncIterator[Door]:
    """Give a shut door before the shelf's registry."""
    door = Door("")

    async def pass_on(request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix("/v2/").split("/manifests/")[0]
        if "/manifests/" in request.path and name not in door.manifests:
            door.manifests.append(name)
        if "/blobs/" in request.path:
            door.layers.append(request.path.rpartition("/")[2])
            await door.open.wait()
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        url = f"http://{shelf.registry.host}{request.path_qs}"
        async with aiohttp.ClientSession() as session, session.request(request.method, url, headers=headers) as answer:
            return web.Response(status=answer.status, headers=answer.headers, body=await answer.read())

    async with serving(pass_on) as host:
        door.host = host
        yield door
        door.open.set()
    await _forget(shelf.engine, door.host)


@asynccontextmanager
async def serving(handler: Any) -> AsyncIterator[str]:
    """Serve HTTP with an aiohttp handler; gives host and port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"{host}:{port}"
    await runner.cleanup()


async def _forget(engine: aiodocker.Docker, host: str) -> None:
    for image in await engine.images.list():
        for name in [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]:
            if name.startswith(host):
                with suppress(aiodocker.DockerError):  # without its name, it is gone under its digest as well
                    await engine.images.delete(name, force=True)
