"""`python -m manifest_planner`; with `what-if …` it tells what an event would lead to, as `estafette plan …` does."""

import sys

from estafette_common import service

from manifest_planner import what_if
from manifest_planner.app import create_app
from manifest_planner.config import ConfigError
from manifest_planner.settings import Settings

if __name__ == "__main__":
    if sys.argv[1:2] == ["what-if"]:
        sys.exit(what_if.main(sys.argv[2:]))
    settings = Settings()
    try:
        app = create_app(settings)
    except ConfigError as error:
        sys.exit(str(error))
    service.run(app, name="manifest-planner", settings=settings)
