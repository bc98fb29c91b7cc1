"""`python -m hanging_job_cleaner`."""

from estafette_common import service

from hanging_job_cleaner.app import create_app
from hanging_job_cleaner.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    service.run(create_app(settings), name="hanging-job-cleaner", settings=settings)
