"""`python -m log_sink`."""

from estafette_common import service

from log_sink.app import create_app
from log_sink.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    service.run(create_app(settings), name="log-sink", settings=settings)
