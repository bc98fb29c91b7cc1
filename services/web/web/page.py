"""The built page: its files, and the page itself for every other address, which its router reads."""

from pathlib import Path

from aiohttp import web

FOR_EVER = "public, max-age=31536000, immutable"
"""For files whose names hold a digest of their content."""

SECURITY = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

MISSING = "The page is not built. Run `make web` and start again.\n"


class Page:
    """Serves one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with the file of the path, else with the page."""
        index = self._folder / "index.html"
        if not index.is_file():
            return web.Response(status=503, text=MISSING)
        file = (self._folder / request.match_info["path"]).resolve()
        if file.is_relative_to(self._folder / "assets"):
            if not file.is_file():
                raise web.HTTPNotFound
            return web.FileResponse(file, headers={**SECURITY, "Cache-Control": FOR_EVER})
        return web.FileResponse(index, headers={**SECURITY, "Cache-Control": "no-cache"})
