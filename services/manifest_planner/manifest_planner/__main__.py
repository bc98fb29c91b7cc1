"""`python -m manifest_planner`."""

import sys

from estafette_common import service

from manifest_planner.app import create_app
from manifest_planner.config import ConfigError
from manifest_planner.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    try:
        app = create_app(settings)
    except ConfigError as error:
        sys.exit(str(error))
    service.run(app, name="manifest-planner", settings=settings)
