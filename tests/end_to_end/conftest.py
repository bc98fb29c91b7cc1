"""The end-to-end tests run stages in Docker where there is an engine, else as processes."""

import subprocess

import pytest
from estafette_local.environment import Options


@pytest.fixture(scope="package")
def stack_options() -> Options:
    """Two of each service; containers if they can be had."""
    image = subprocess.run(["docker", "image", "inspect", "busybox:latest"], capture_output=True, check=False)
    return Options(replicas={"*": 2}, stage_runtime="docker" if image.returncode == 0 else "process")
