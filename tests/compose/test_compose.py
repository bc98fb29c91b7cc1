"""docker-compose.yml: the images are built, come up healthy, build a push and go without a trace."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from estafette_local import sample
from estafette_local.engine import Engine
from estafette_local.people import GitRepository, Person, push_delivery
from estafette_local.servers import free_port
from estafette_local.waiting import eventually

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(1200)


@dataclass(frozen=True)
class Deployment:
    """The system in containers, under a project name of its own."""

    project: str
    settings: Mapping[str, str]

    def compose(self, *arguments: str) -> str:
        command = ["docker", "compose", "--project-name", self.project, *arguments]
        environment = {**os.environ, **self.settings}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def url(self, setting: str) -> str:
        return f"http://127.0.0.1:{self.settings[setting]}"

    def left(self) -> list[str]:
        """Return the containers, volumes and networks of the project."""
        label = f"label=com.docker.compose.project={self.project}"
        kinds = (["ps", "--all"], ["volume", "ls"], ["network", "ls"])
        return [name for kind in kinds for name in docker(*kind, "--quiet", "--filter", label).split()]


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    if why_not := Engine().can_run(sample.IMAGE):
        pytest.skip(why_not)
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("docker compose is not installed")
    folder = Path(tempfile.mkdtemp(prefix="estafette-compose-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def deployment(folder: Path) -> Iterator[Deployment]:
    settings = {
        "ESTAFETTE_BUILD_NETWORK": "host",
        "ESTAFETTE_GITHUB_WEBHOOK_SECRET": secrets.token_hex(20),
        "ESTAFETTE_SECRET_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "ESTAFETTE_CLONE_URL": "file:///repositories/{owner}/{name}.git",
        "REPOSITORIES": str(folder / "repositories"),
        "JOBS_DIR": str(folder / "jobs"),
        **{name: str(free_port()) for name in ("WEB_PORT", "API_PORT", "WEBHOOK_INGRESS_PORT")},
    }
    deployment = Deployment(f"estafette-test-{secrets.token_hex(4)}", settings)
    try:
        deployment.compose("up", "--build", "--detach", "--wait", "--wait-timeout", "300")
        yield deployment
    finally:
        deployment.compose("down", "--volumes", "--timeout", "20")
    assert deployment.left() == []


@pytest.fixture
async def person(deployment: Deployment) -> AsyncIterator[Person]:
    async with aiohttp.ClientSession() as http:
        yield Person(http, ingress=deployment.url("WEBHOOK_INGRESS_PORT"), api=deployment.url("API_PORT"))


def test_every_container_is_healthy(deployment: Deployment) -> None:
    states = [json.loads(line) for line in deployment.compose("ps", "--format", "json").splitlines()]
    assert {state["Service"]: state["Health"] for state in states if state["Health"] != "healthy"} == {}
    assert len(states) == 12


def test_images_of_services_run_as_an_unprivileged_user(deployment: Deployment) -> None:
    images = set(deployment.compose("config", "--images").split())
    users = {image: docker("image", "inspect", "--format", "{{.Config.User}}", image).strip() for image in images}
    ours = {image: user for image, user in users.items() if image.startswith("estafette/")}
    assert set(ours.values()) == {"10001:10001"}


def test_an_image_holds_only_what_its_service_needs(deployment: Deployment) -> None:
    listed = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    found = docker("run", "--rm", "--entrypoint", "python", "estafette/webhook-ingress", "-P", "-c", listed).split()
    assert not {"asyncpg", "kubernetes-asyncio", "aiodocker", "pytest"} & set(found)


async def test_a_push_becomes_a_succeeded_build_with_its_log(
    deployment: Deployment, folder: Path, person: Person
) -> None:
    repository = GitRepository(folder / "repositories", "acme", "shop")
    revision = repository.commit(sample.project(deployment.settings["ESTAFETTE_SECRET_KEY"]))
    secret = deployment.settings["ESTAFETTE_GITHUB_WEBHOOK_SECRET"]
    delivery = push_delivery(sample.push_payload(), repository, revision=revision, secret=secret)
    assert await person.deliver(delivery) in range(200, 300)

    async def ended() -> dict[str, Any]:
        [build] = await person.builds(repository)
        return build if build["buildStatus"] not in ("pending", "running") else {}

    build = await eventually(ended, within=180)
    assert build["buildStatus"] == "succeeded", deployment.compose("logs", "--tail", "30")
    log = [told.data async for told in person.watch(build) if told.event == "log"]
    texts = [event["logLine"]["text"].strip() for event in log if event.get("logLine")]
    assert "ok - no name appears twice" in texts
    assert "signing in to the registry with the token ***" in texts


async def test_the_page_is_served(deployment: Deployment) -> None:
    async with aiohttp.ClientSession() as http, http.get(deployment.url("WEB_PORT")) as response:
        assert response.status == 200
        assert "<!doctype html>" in (await response.text()).lower()
