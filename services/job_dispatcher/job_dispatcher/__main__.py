"""`python -m job_dispatcher`."""

from estafette_common import service

from job_dispatcher.app import create_app
from job_dispatcher.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    service.run(create_app(settings), name="job-dispatcher", settings=settings)
