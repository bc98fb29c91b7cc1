"""A git server over HTTP, as forges have: git's own `upload-pack` for each request, with filters."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from estafette_local.servers import free_port

FILTERS = ("-c", "uploadpack.allowFilter=true")


@asynccontextmanager
async def git_server(root: Path, *, filters: bool = True) -> AsyncIterator[str]:
    """Serve the bare repositories below a folder; yield the URL of that folder. `filters` as most forges."""

    async def answer(request: web.Request, *arguments: str, kind: str = "result", begin: bytes = b"") -> web.Response:
        repository = root / request.match_info["path"]
        if not repository.is_dir():
            return web.Response(status=404)
        allowed = FILTERS if filters else ()
        command = ["git", *allowed, "upload-pack", "--stateless-rpc", *arguments, str(repository)]
        protocol = request.headers.get("Git-Protocol", "")
        output = await asyncio.to_thread(_output, command, await request.read(), protocol)
        return web.Response(body=begin + output, content_type=f"application/x-git-upload-pack-{kind}")

    async def refs(request: web.Request) -> web.Response:
        begin = b"001e# service=git-upload-pack\n0000"
        return await answer(request, "--http-backend-info-refs", kind="advertisement", begin=begin)

    app = web.Application(handler_args={"access_log": None})
    app.add_routes([web.get("/{path:.+}/info/refs", refs), web.post("/{path:.+}/git-upload-pack", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def _output(command: list[str], given: bytes, protocol: str) -> bytes:
    environment = {"GIT_PROTOCOL": protocol, "PATH": os.defpath}
    return subprocess.run(command, input=given, env=environment, stdout=subprocess.PIPE, check=False).stdout
