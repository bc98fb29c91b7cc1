"""`python -m web`."""

from estafette_common import service

from web.app import create_app
from web.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    service.run(create_app(settings), name="web", settings=settings)
