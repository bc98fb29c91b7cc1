"""`python -m cron_sender`."""

from estafette_common import service

from cron_sender.app import create_app
from cron_sender.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    service.run(create_app(settings), name="cron-sender", settings=settings)
