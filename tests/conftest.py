"""The scene of the tests that need the whole system."""

import dataclasses
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from estafette_local.environment import Options
from estafette_local.forge import FakeForge
from estafette_local.people import Delivery, GitRepository, Person, push_delivery
from estafette_local.stack import Stack

SAMPLES = Path(__file__).parents[1] / "deploy/local/forge/node_modules/@octokit/webhooks-examples/api.github.com"


@pytest.fixture(scope="session")
def push_sample() -> dict[str, Any]:
    """GitHub's own sample of a push's payload."""
    index = SAMPLES / "index.json"
    if not index.exists():
        pytest.skip("GitHub's payload samples are not installed; `make setup` installs them")
    [push] = [event for event in json.loads(index.read_text()) if event["name"] == "push"]
    sample: dict[str, Any] = next(example for example in push["examples"] if not example["deleted"])
    return sample


@pytest.fixture(scope="package")
def data() -> Iterator[Path]:
    """The folder of the stack under test."""
    folder = Path(tempfile.mkdtemp(prefix="estafette-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
async def forge(data: Path) -> AsyncIterator[FakeForge]:
    """A forge that serves the test's repositories and checks each request against GitHub's OpenAPI document."""
    async with FakeForge(data / "repositories") as forge:
        yield forge
        assert forge.violations == []


@pytest.fixture(scope="package")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(scope="package")
def stack_options() -> Options:
    """How the stack under test differs from the default; packages override it."""
    return Options(replicas={"*": 2})


@pytest.fixture(scope="package")
async def stack(data: Path, forge: FakeForge, stack_options: Options) -> AsyncIterator[Stack]:
    """The whole system, two processes of each service, with the forge."""
    options = dataclasses.replace(
        stack_options, github_api_url=forge.url, github_token="a-token", manifest_source="github"
    )
    with Stack(data, options) as stack:
        yield stack


@pytest.fixture
def person(stack: Stack, http: aiohttp.ClientSession) -> Person:
    """Somebody who pushes and watches."""
    return Person(http, ingress=stack.url("webhook-ingress"), api=stack.url("api"))


@pytest.fixture
def repository(stack: Stack, request: pytest.FixtureRequest) -> GitRepository:
    """A repository of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60]
    return GitRepository(stack.places.repositories, "acme", name)


@pytest.fixture
def push(stack: Stack, repository: GitRepository, push_sample: dict[str, Any]) -> Callable[..., tuple[str, Delivery]]:
    """Commit files to the repository and return the revision and the webhook that tells of it."""

    def commit_and_tell(files: dict[str, str], **told: str) -> tuple[str, Delivery]:
        revision = repository.commit(files, branch=told.get("branch", "main"))
        secret = stack.webhook_secret
        return revision, push_delivery(push_sample, repository, revision=revision, secret=secret, **told)

    return commit_and_tell
