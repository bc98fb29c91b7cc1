"""`python -m api`."""

from estafette_common import service

from api.app import create_app
from api.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    service.run(create_app(settings), name="api", settings=settings)
