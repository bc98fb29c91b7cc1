"""The fault tests run stages as processes, so that a test can hold a stage by a file."""

import pytest
from estafette_local.environment import Options


@pytest.fixture(scope="package")
def stack_options() -> Options:
    """Two of each service; what is killed is started again, as a container platform does."""
    patience = {"ESTAFETTE_GRACE": "12", "ESTAFETTE_CLEAN_INTERVAL": "1"}
    return Options(replicas={"*": 2}, stage_runtime="process", settings={"hanging-job-cleaner": patience})
