"""`python -m manifest_planner`."""

from estafette_common import service

from manifest_planner.app import create_app
from manifest_planner.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    service.run(create_app(settings), name="manifest-planner", settings=settings)
