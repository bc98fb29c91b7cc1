"""A push becomes a pod, and whatever happens to that, the build ends as it should and says why."""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats
import pytest
from estafette_common.bus.messages.commands import Cancel
from estafette_common.bus.requesting import Requester
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.runtimes.kubernetes_resources import amount
from estafette_local.people import Delivery, GitRepository, Person, build_path
from estafette_local.stack import Stack
from estafette_local.waiting import eventually

pytestmark = [
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster to test against"),
    pytest.mark.timeout(300),
]

Push = Callable[..., tuple[str, Delivery]]

SHORT = """\
stages:
  test:
    image: busybox:latest
    commands:
    - seq 1 300
    - cat README
"""

HUNGRY = """\
stages:
  eat:
    image: busybox:latest
    commands:
    - python3 -c "held = bytearray(10**9)"
"""

CROWDED = """\
stages:
  eat:
    image: busybox:latest
    commands:
    - >-
      for each in $(seq 40); do
      python3 -c "import time; held = bytearray(8 * 10**6); time.sleep(60)" &
      done; wait
"""
"""Many processes, each smaller than the builder: where memory ends, that is the one that the kernel takes."""


class Scene:
    """Somebody who pushes to one repository, and the pods of what follows."""

    def __init__(self, person: Person, repository: GitRepository, push: Push, cluster: Any) -> None:
        self.person = person
        self.repository = repository
        self.cluster = cluster
        self._push = push

    async def begin(self, manifest: str) -> str:
        """Push a manifest; returns the id of its build."""
        before = len(await self.person.builds(self.repository))
        files = {".estafette.yaml": manifest, "README": "the shop\n", "VERSION": f"{before}\n"}
        _, delivery = self._push(files)
        assert await self.person.deliver(delivery) == 200
        await eventually(lambda: self._has_builds(before + 1), within=40)
        return str((await self.build())["id"])

    async def build(self) -> dict[str, Any]:
        """Return the newest build."""
        return (await self.person.builds(self.repository))[0]

    async def _has_builds(self, count: int) -> bool:
        return len(await self.person.builds(self.repository)) == count

    async def is_ended(self) -> dict[str, Any] | None:
        build = await self.build()
        return build if build["buildStatus"] in {"succeeded", "failed", "canceled"} else None

    async def ended(self, *, within: float) -> dict[str, Any]:
        found: dict[str, Any] | None = await eventually(self.is_ended, within=within)
        assert found is not None
        return found

    async def log(self, stage: str) -> list[str]:
        """Return the lines of a stage that are stored, of the attempt that counts."""
        log = await self.person.get(f"{build_path(await self.build())}/logs")
        found = [step for step in log["steps"] if step["step"] == stage]
        return [line["text"].rstrip("\n") for step in found for line in step["logLines"]]

    async def says(self, stage: str, line: str) -> bool:
        return line in await self.log(stage)

    async def pod(self, job_id: str) -> Any:
        """Return the newest pod of a job."""
        return (await self.cluster.pods(job_id))[-1]

    async def running_pod(self, job_id: str) -> Any:
        """Return the newest pod of a job once its kubelet told that its container runs; before, nothing."""
        pod = await self.pod(job_id)
        return pod if any(status.state.running for status in pod.status.container_statuses or ()) else None


@pytest.fixture
def scene(stack: Stack, person: Person, repository: GitRepository, push: Push, cluster: Any) -> Scene:
    return Scene(person, repository, push, cluster)


@pytest.fixture
async def cancel(stack: Stack) -> AsyncIterator[Callable[[str], Any]]:
    connected = await nats.connect(stack.places.nats_url, user_credentials=str(stack.places.nats_credentials))
    requester = Requester(connected, source="test")

    async def ask(build_id: str) -> None:
        await requester.ask(Cancel(kind=Kind.BUILD, job_id=build_id), id=str(uuid4()), within=60)

    yield ask
    await connected.close()


async def test_a_push_becomes_a_pod_of_the_builder_and_a_build_that_succeeds(scene: Scene) -> None:
    build_id = await scene.begin(SHORT)

    build = await scene.ended(within=120)
    assert (build["buildStatus"], build["outcome"], build["attempt"]) == ("succeeded", "succeeded", 1)
    [job] = await scene.cluster.jobs(build_id)
    assert job.metadata.name.startswith("build-acme-test-a-push")
    [pod] = await scene.cluster.pods(build_id)
    assert pod.spec.containers[0].image == "estafette/builder:latest"
    assert pod.spec.security_context.run_as_non_root
    expected = [*map(str, range(1, 301)), "the shop"]

    async def whole() -> bool:
        return [line for line in await scene.log("test") if not line.startswith("\x1b")] == expected

    await eventually(whole, within=40)


async def test_a_pod_asks_for_what_the_builds_before_it_took(scene: Scene) -> None:
    asked = []
    for _ in range(6):
        build_id = await scene.begin(SHORT)
        assert (await scene.ended(within=120))["buildStatus"] == "succeeded"
        asked.append((await scene.pod(build_id)).spec.containers[0].resources)

    assert [each.requests for each in asked[:5]] == [{"cpu": "50m", "memory": "100Mi"}] * 5
    assert amount("64Mi") <= amount(asked[5].requests["memory"]) < amount("200Mi")
    assert asked[5].requests != asked[4].requests
    assert asked[5].limits["memory"] == asked[5].requests["memory"]


async def test_a_stage_that_fails_is_not_tried_again(scene: Scene) -> None:
    build_id = await scene.begin(SHORT.replace("cat README", "false"))

    build = await scene.ended(within=120)
    assert (build["outcome"], build["attempt"]) == ("failed", 1)
    assert len(await scene.cluster.jobs(build_id)) == 1


async def test_a_build_whose_pod_is_deleted_goes_on_as_its_next_attempt(scene: Scene, held: Any) -> None:
    build_id = await scene.begin(held.manifest)
    await eventually(lambda: scene.says("hold", "attempt begins"), within=120)
    first = await scene.pod(build_id)

    await scene.cluster.core.delete_namespaced_pod(first.metadata.name, scene.cluster.namespace)

    async def lost() -> bool:
        build = await scene.build()
        return bool(build["attempt"] == 2)

    await eventually(lost, within=120)
    held.release()
    build = await scene.ended(within=120)
    assert (build["outcome"], build["attempt"], build["reason"]) == ("succeeded", 2, "")
    assert {job.metadata.labels["estafette.io/attempt"] for job in await scene.cluster.jobs(build_id)} >= {"2"}


async def test_a_build_whose_node_is_silent_goes_on_as_its_next_attempt_once_its_builder_is_silent_too(
    scene: Scene, held: Any, kubelet: "Kubelet"
) -> None:
    build_id = await scene.begin(held.manifest)
    await eventually(lambda: scene.says("hold", "attempt begins"), within=120)
    first = await eventually(lambda: scene.running_pod(build_id), within=20)

    kubelet.silence()
    await eventually(lambda: _is_unheard(scene, build_id), within=120)
    assert (await scene.build())["attempt"] == 1
    kubelet.kill_container_of(first)

    async def lost() -> str | None:
        build = await scene.build()
        return str(build["reason"]) if build["attempt"] == 2 else None

    assert await eventually(lost, within=90)
    kubelet.wake()
    held.release()
    build = await scene.ended(within=120)
    assert (build["outcome"], build["attempt"]) == ("succeeded", 2)


async def test_an_image_that_cannot_be_pulled_is_told_while_it_waits_and_then_loses_the_job(
    scene: Scene, dispatching: Any
) -> None:
    with dispatching(builder_image="127.0.0.1:1/acme/builder:1"):
        build_id = await scene.begin(SHORT)

        assert "cannot be pulled" in await _reason(scene, "cannot be pulled")
        build = await scene.ended(within=120)

        assert (build["buildStatus"], build["outcome"]) == ("failed", "lost")
        assert build["reason"].startswith("the image 127.0.0.1:1/acme/builder:1 cannot be pulled")
        await eventually(lambda: _is_gone(scene, build_id), within=120)


async def test_a_request_that_no_node_can_meet_is_told_while_it_waits_and_then_loses_the_job(
    scene: Scene, dispatching: Any
) -> None:
    with dispatching(builder_cpu="1000", builder_cpu_limit="1000"):
        build_id = await scene.begin(SHORT)

        assert "Insufficient cpu" in await _reason(scene, "no node can take it")
        build = await scene.ended(within=120)

        assert (build["buildStatus"], build["outcome"]) == ("failed", "lost")
        assert build["reason"].startswith("no node can take it: ")
        await eventually(lambda: _is_gone(scene, build_id), within=120)


async def test_a_pod_that_needs_more_memory_than_it_may_have_loses_the_job(scene: Scene) -> None:
    build_id = await scene.begin(CROWDED)

    build = await scene.ended(within=120)

    assert (build["buildStatus"], build["outcome"]) == ("failed", "lost")
    assert build["reason"] == "out of memory: its pod needs more than the 200Mi it may have"
    assert len(await scene.cluster.jobs(build_id)) == 1


async def test_a_stage_that_needs_more_memory_than_there_is_fails(scene: Scene) -> None:
    await scene.begin(HUNGRY)

    build = await scene.ended(within=120)

    assert (build["outcome"], build["attempt"]) == ("failed", 1)


async def test_a_build_that_is_canceled_is_canceled_when_its_pod_is_gone(
    scene: Scene, held: Any, cancel: Callable[[str], Any]
) -> None:
    deaf = held.manifest.replace("echo", "trap '' TERM; echo")
    build_id = await scene.begin(deaf)
    await eventually(lambda: scene.says("hold", "attempt begins"), within=120)

    await cancel(build_id)

    build = await scene.ended(within=120)
    assert build["buildStatus"] == "canceled"
    assert await scene.cluster.pods(build_id) == []


async def test_a_build_that_waits_for_a_node_is_canceled_with_its_pod(
    scene: Scene, dispatching: Any, cancel: Callable[[str], Any]
) -> None:
    with dispatching(builder_cpu="1000", builder_cpu_limit="1000", scheduling_patience="600"):
        build_id = await scene.begin(SHORT)
        await _reason(scene, "no node can take it")

        await cancel(build_id)

        build = await scene.ended(within=120)
        assert build["buildStatus"] == "canceled"
        assert await scene.cluster.pods(build_id) == []
        assert await scene.cluster.jobs(build_id) == []


class Kubelet:
    """The kubelet of this machine, which may be the only node's."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def silence(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def kill_container_of(self, pod: Any) -> None:
        """End a container as the end of its machine does: nobody tells of it."""
        [status] = pod.status.container_statuses
        subprocess.run(["docker", "kill", status.container_id.removeprefix("docker://")], check=True)

    def wake(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    """Whoever runs this where others use the cluster, too, sees to it that they know."""
    found = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/comm") if _text(path) == "kubelet"]
    if not found or not shutil.which("docker"):
        pytest.skip("no kubelet with Docker runs on this machine")
    kubelet = Kubelet(found[0])
    yield kubelet
    kubelet.wake()


def _text(file: Path) -> str:
    with suppress(OSError):
        return file.read_text().strip()
    return ""


async def _reason(scene: Scene, text: str) -> str:
    """Return the reason of a pending build once it has the text."""

    async def told() -> str | None:
        build = await scene.build()
        return str(build["reason"]) if build["buildStatus"] == "pending" and text in build["reason"] else None

    found = await eventually(told, within=60)
    assert found is not None
    return found


async def _is_unheard(scene: Scene, build_id: str) -> bool:
    """Return whether the control plane says that it does not hear of the pod's node."""
    conditions = (await scene.pod(build_id)).status.conditions
    return any(each.type == "Ready" and each.status == "False" for each in conditions)


async def _is_gone(scene: Scene, build_id: str) -> bool:
    return not await scene.cluster.pods(build_id)
