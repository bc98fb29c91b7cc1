"""A git server over HTTP, as forges have: git's own `upload-pack` for each request, with filters."""

import asyncio
from asyncio.subprocess import PIPE
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
        process = await asyncio.create_subprocess_exec(
            "git",
            *(FILTERS if filters else ()),
            "upload-pack",
            "--stateless-rpc",
            *arguments,
            str(repository),
            env={"GIT_PROTOCOL": request.headers.get("Git-Protocol", ""), "PATH": "/usr/bin:/bin"},
            stdin=PIPE,
            stdout=PIPE,
        )
        output, _ = await process.communicate(await request.read())
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
