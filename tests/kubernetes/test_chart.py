"""The chart on a real cluster: it comes up, is upgraded under load, and goes."""

import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from estafette_local import sample
from estafette_local.people import GitRepository, Person, push_delivery
from estafette_local.servers import free_port
from estafette_local.waiting import eventually
from kubernetes_asyncio import client, config

from tests.kubernetes.installing import RELEASE, Installation, Values, has_images, installation, merged, tagged

pytestmark = pytest.mark.timeout(1500)

BUILDS = 20

SMALL: Values = {
    "defaults": {"deployment": {"resources": {"requests": {"cpu": "40m", "memory": "64Mi"}}}},
    "jobs": {
        "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "stageRuntime": "process",
    },
}

HIGHLY_AVAILABLE: Values = {
    "defaults": {"deployment": {"replicaCount": 2}},
    "api": {"autoscaling": {"enabled": True, "minReplicas": 2}},
    "web": {"autoscaling": {"enabled": True, "minReplicas": 2}},
    "db": {"statefulset": {"replicas": 2}, "backup": {"enabled": True}},
    "queue": {"cluster": {"enabled": True, "replicas": 3}},
}


@pytest.fixture
async def place() -> AsyncIterator[Installation]:
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG names no cluster to test against")
    if not has_images():
        pytest.skip("there are no images of the services; `docker compose build` makes them")
    configuration = client.Configuration()
    await config.load_kube_config(client_configuration=configuration)
    async with (
        client.ApiClient(configuration) as api,
        installation(api, os.environ["KUBECONFIG"]) as place,
    ):
        yield place


class Forge:
    """A git server that pods reach, and somebody who pushes to it."""

    def __init__(self, repository: GitRepository, url: str, person: Person, secret: str) -> None:
        self.repository = repository
        self._url = f"{url}/{repository.owner}/{repository.name}.git"
        self._person = person
        self._secret = secret

    async def push(self, number: int) -> None:
        """Push a commit whose build goes on when `let_go` was called."""
        manifest = f"""\
stages:
  hold:
    image: busybox:latest
    commands:
    - echo "build {number} begins"
    - until git ls-remote --exit-code {self._url} refs/heads/go >/dev/null; do sleep 10; done
    - echo "build {number} goes on"
"""
        revision = self.repository.commit({".estafette.yaml": manifest})
        delivery = push_delivery(sample.push_payload(), self.repository, revision=revision, secret=self._secret)
        assert await self._person.deliver(delivery) in range(200, 300)

    def let_go(self) -> None:
        self.repository.commit({"README": "go\n"}, branch="go")

    async def builds(self, status: str) -> list[dict[str, Any]]:
        found = await self._person.get(
            f"/api/pipelines/github.com/{self.repository.full_name}/builds?page[size]={BUILDS * 2}"
        )
        return [build for build in found["items"] if build["buildStatus"] == status]

    async def log(self, build: dict[str, Any]) -> str:
        lines = [told.data["logLine"] async for told in self._person.watch(build) if told.data.get("logLine")]
        return "".join(line["text"] for line in lines)


async def test_an_upgrade_loses_none_of_the_builds_that_run_and_nothing_stays_but_what_shall(
    place: Installation, tmp_path: Path
) -> None:
    git, daemon = _serve(place.address, tmp_path)
    reachable = {part: {"service": {"type": "NodePort"}} for part in ("api", "webhook-ingress")}
    clone = {"manifest-planner": {"config": {"cloneURL": f"{git}/{{owner}}/{{name}}.git"}}}
    values = merged(SMALL, reachable, clone)
    try:
        await place.install(values)
        assert await place.unready() == []
        tested = await place.helm("test", RELEASE, logs=True)
        assert tested["logs"].count(" 200") == 9

        keys = {name: await place.secret(name) for name in ("api", "webhook-ingress", "queue", "db")}
        async with aiohttp.ClientSession() as http:
            person = Person(http, ingress=await place.url("webhook-ingress"), api=await place.url("api"))
            secret = keys["webhook-ingress"]["webhookSecret"]
            forge = Forge(GitRepository(tmp_path / "repositories", "acme", "shop"), git, person, secret)
            for number in range(BUILDS):
                await forge.push(number)

            async def all_run() -> bool:
                return len(await forge.builds("running")) == BUILDS

            await eventually(all_run, within=400)
            with tagged(f"test-{secrets.token_hex(4)}") as second:
                await place.upgrade(merged(values, {"imageTag": second}))
                assert await place.unready() == []
                assert {pod.spec.containers[0].image.split(":")[1] for pod in await _services(place)} == {second}
                assert len(await forge.builds("running")) == BUILDS
                forge.let_go()

                async def all_succeeded() -> bool:
                    return len(await forge.builds("succeeded")) == BUILDS

                await eventually(all_succeeded, within=300)
                builds = await forge.builds("succeeded")
                numbers = {int(build["buildVersion"].rsplit(".", 1)[1].split("-")[0]) for build in builds}
                assert len(numbers) == BUILDS
                logs = [await forge.log(build) for build in builds]
                assert [log for log in logs if "begins" not in log or "goes on" not in log] == []
                jobs = (await place.batch.list_namespaced_job(place.jobs_namespace)).items
                assert len(jobs) <= BUILDS  # one attempt each; the cleaner may have removed some already
                assert {name: await place.secret(name) for name in keys} == keys
                await place.uninstall()
    finally:
        daemon.terminate()
        daemon.wait()

    async def only_what_shall_stay() -> bool:
        assert await place.left() == {
            *(f"Secret {RELEASE}-{name}" for name in ("api", "webhook-ingress", "queue", "db")),
            *(f"PersistentVolumeClaim data-{RELEASE}-{name}-0" for name in ("db", "queue")),
        }
        return True

    await eventually(only_what_shall_stay, within=300)
    assert (await place.core.read_namespace(place.jobs_namespace)).status.phase == "Active"


async def test_with_values_for_high_availability_all_is_ready_the_dump_can_be_restored_and_a_standby_takes_over(
    place: Installation,
) -> None:
    values = merged(SMALL, HIGHLY_AVAILABLE)
    await place.install(values)
    assert await place.unready() == []
    assert len(await place.pods()) == 2 * 9 + 2 + 3

    await place.query(0, "SET ROLE estafette; CREATE TABLE marks AS SELECT 'kept' AS mark")
    await place.run_now("dump-now", "db-backup")
    await place.query(0, "DROP TABLE marks")
    await place.run_now("restore-now", "db-backup", command="pg_restore -d estafette -t marks /backup/estafette-*.dump")
    await eventually(lambda: _answers(place, 1, "SELECT mark FROM marks", "kept"))

    await place.upgrade(merged(values, {"db": {"statefulset": {"primary": 1}}}), wait="hookOnly")
    await eventually(lambda: _is_primary(place, 1), within=120)
    assert await place.query(1, "UPDATE marks SET mark = 'changed' RETURNING mark") == "changed\nUPDATE 1"
    await place.kubectl("delete", "--wait=false", "pvc", f"data-{RELEASE}-db-0")
    await place.kubectl("delete", "--grace-period=1", "pod", f"{RELEASE}-db-0")
    await eventually(lambda: _answers(place, 0, "SELECT mark FROM marks", "changed"), within=180)
    assert not await _is_primary(place, 0)
    await eventually(lambda: _is_whole(place), within=180)
    await place.uninstall()


async def _is_primary(place: Installation, replica: int) -> bool:
    return await _answers(place, replica, "SELECT pg_is_in_recovery()", "f")


async def _answers(place: Installation, replica: int, statement: str, answer: str) -> bool:
    return await place.query(replica, statement) == answer


async def _is_whole(place: Installation) -> bool:
    return await place.unready() == []


async def _services(place: Installation) -> list[Any]:
    return [pod for pod in await place.pods() if pod.metadata.owner_references[0].kind == "ReplicaSet"]


def _serve(address: str, folder: Path) -> tuple[str, subprocess.Popen[bytes]]:
    """Serve repositories with git where pods reach them; returns the URL below which they are, and the server."""
    root = folder / "repositories"
    root.mkdir()
    port = free_port()
    listen = [f"--listen={address}", f"--port={port}", f"--base-path={root}"]
    command = ["git", "daemon", "--reuseaddr", "--export-all", "--max-connections=100", *listen, str(root)]
    return f"git://{address}:{port}", subprocess.Popen(command, stderr=subprocess.DEVNULL)
