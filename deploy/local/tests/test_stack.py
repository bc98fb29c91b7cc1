import http.client
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from estafette_local import leftovers
from estafette_local.environment import Options
from estafette_local.stack import Stack, StackError
from estafette_local.waiting import eventually

ONLY_INGRESS = {"*": 0, "webhook-ingress": 1}


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="estafette-stack-"))
    folder.chmod(0o755)
    yield folder
    leftovers.end_processes(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def stack(data: Path) -> Iterator[Stack]:
    with Stack(data, Options(replicas=ONLY_INGRESS)) as running:
        yield running


def status(url: str, path: str) -> int:
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request("GET", path)
    return connection.getresponse().status


def test_a_started_stack_is_ready(stack: Stack) -> None:
    assert status(stack.url("webhook-ingress"), "/readiness") == 200


async def test_a_killed_service_comes_back_on_its_port(stack: Stack) -> None:
    (old,) = stack.pids("webhook-ingress")
    stack.kill("webhook-ingress")
    await eventually(lambda: stack.is_ready("webhook-ingress"), within=30)
    assert stack.pids("webhook-ingress") != [old]


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_a_killed_server_comes_back(stack: Stack, server: str) -> None:
    stack.kill(server)
    await eventually(lambda: stack.pids(server), within=30)
    await eventually(lambda: status(stack.url("webhook-ingress"), "/readiness") == 200, within=30)


def test_a_stopped_service_stays_stopped_until_it_is_started(stack: Stack) -> None:
    stack.stop_one("webhook-ingress")
    assert stack.pids("webhook-ingress") == []
    stack.start_one("webhook-ingress")
    assert stack.is_ready("webhook-ingress")


def test_nothing_runs_after_the_stop(data: Path) -> None:
    with Stack(data, Options(replicas=ONLY_INGRESS)):
        pass
    assert leftovers.end_processes(data) == []


def test_what_a_killed_run_left_is_found(data: Path) -> None:
    with Stack(data, Options(replicas=ONLY_INGRESS, keep_running=False)):
        found = leftovers.end_processes(data)
    assert {"webhook_ingress", "nats-server", "postgres"} <= set(found)


def test_a_second_stack_on_the_same_data_is_refused(stack: Stack) -> None:
    with pytest.raises(StackError, match="runs already"):
        Stack(stack.data).start()
    assert stack.is_ready("webhook-ingress")


def test_a_service_that_cannot_start_is_named_with_its_log(data: Path) -> None:
    broken = Options(replicas=ONLY_INGRESS, settings={"webhook-ingress": {"ESTAFETTE_PORT": "not-a-port"}})
    with pytest.raises(
        StackError, match=r"webhook-ingress ends again and again[\s\S]*port\n *Input should be a valid integer"
    ):
        Stack(data, broken).start()


def test_a_long_path_of_the_data_does_not_lengthen_the_socket(data: Path) -> None:
    with Stack(data / ("long" * 30), Options(replicas={"*": 0})) as stack:
        assert len(stack.addresses()["builder-host"]) <= 107


async def test_a_cluster_of_nats_servers_may_lose_one(data: Path) -> None:
    with Stack(data, Options(replicas=ONLY_INGRESS, nats_servers=3)) as stack:
        assert len(stack.pids("nats")) == 3

        stack.stop_one("nats", 1)

        await eventually(lambda: status(stack.url("webhook-ingress"), "/readiness") == 200, within=60)


def test_another_program_can_stand_in_for_a_service(data: Path) -> None:
    instead = [sys.executable, "-c", "raise SystemExit('in its place')"]
    with pytest.raises(StackError, match=r"ends again and again[\s\S]*in its place"):
        Stack(data, Options(replicas=ONLY_INGRESS, commands={"webhook-ingress": instead})).start()


def test_settings_can_be_those_of_one_replica(data: Path) -> None:
    broken = Options(
        replicas=ONLY_INGRESS | {"webhook-ingress": 2}, settings={"webhook-ingress-1": {"ESTAFETTE_PORT": "no-port"}}
    )
    with pytest.raises(StackError, match="webhook-ingress-1 ends again and again"):
        Stack(data, broken).start()
