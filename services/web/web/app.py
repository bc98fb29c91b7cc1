"""What the service is made of. Nothing here does I/O."""

from aiohttp import web
from estafette_common import service

from web.page import Page
from web.passing import ApiPassage
from web.settings import Settings


def create_app(settings: Settings) -> web.Application:
    """Return the application: the page, and before it the API where no ingress does that."""
    passage = ApiPassage(settings.api_url.rstrip("/"))
    page = Page(settings.page_dir)

    app = service.application(passage)
    app.middlewares.append(service.measure)
    if settings.api_url:
        app.add_routes([web.route("*", "/api/{path:.*}", passage.handle)])
    app.add_routes([web.get("/{path:.*}", page.handle)])
    return app
