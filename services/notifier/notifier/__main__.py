"""`python -m notifier`."""

from estafette_common import service

from notifier.app import create_app
from notifier.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    service.run(create_app(settings), name="notifier", settings=settings)
