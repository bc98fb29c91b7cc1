"""Containers that run beside stages, in a real Docker Engine."""

from typing import Any

import aiodocker
import pytest
from builder.runtimes.docker import JOB_LABEL
from estafette_common.bus.messages.logs import Change, Line
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedService, PlannedStage, Probe
from estafette_local.waiting import eventually

IMAGE = "busybox:latest"

SERVE = "mkdir -p /site && echo welcome > /site/index.html && sleep 0.3 && exec httpd -f -p 8080 -h /site"


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(**{"name": name, "image": IMAGE, "commands": commands} | fields)


def service(name: str, *commands: str, **fields: Any) -> PlannedService:
    return PlannedService(**{"name": name, "image": IMAGE, "commands": commands} | fields)


async def ends(machine: Any) -> dict[str, str]:
    changes = [entry for entry in await machine.entries() if isinstance(entry, Change)]
    return {f"{each.parent}/{each.stage}".lstrip("/"): each.status for each in changes}


PROBES = {
    "http": Probe(host="web", port=8080, path="/index.html", timeout=20),
    "port": Probe(host="web", port=8080, timeout=20),
    "exec": Probe(command=("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/"), timeout=20),
}


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES.keys())
async def test_a_stage_waits_until_its_service_is_ready_and_reaches_it_by_name(
    docker_machine: Any, probe: Probe
) -> None:
    web = service("web", SERVE, readiness=probe)
    await docker_machine.start(stage("test", "wget -q -O - http://web:8080/", services=(web,)))

    assert (await docker_machine.finished(within=60)).outcome is Outcome.SUCCEEDED
    assert await docker_machine.printed("test") == ["welcome"]
    assert (await ends(docker_machine))["test/web"] == "SUCCEEDED"


async def test_a_service_that_does_not_get_ready_fails_its_stage(docker_machine: Any) -> None:
    web = service("web", "sleep 60", readiness=Probe(host="web", port=8080, path="/", timeout=1.5))
    await docker_machine.start(stage("test", "echo never", services=(web,)), stage("after", "true"))

    assert (await docker_machine.finished(within=60)).outcome is Outcome.FAILED
    found = await ends(docker_machine)
    assert (found["test"], found["test/web"], found["after"]) == ("FAILED", "FAILED", "SKIPPED")
    [reason] = await docker_machine.printed("test")
    assert reason.startswith("service web: not ready within 1.5 s: ")


async def test_a_service_that_ends_before_it_is_ready_fails_its_stage_at_once(docker_machine: Any) -> None:
    web = service("web", "exit 3", readiness=Probe(host="web", port=8080, timeout=120))
    await docker_machine.start(stage("test", "echo never", services=(web,)))

    assert (await docker_machine.finished(within=60)).outcome is Outcome.FAILED
    assert await docker_machine.printed("test") == ["service web: ended before it was ready"]


async def test_a_service_of_one_stage_ends_with_it_and_a_shared_one_with_the_job(docker_machine: Any) -> None:
    ready = Probe(host="x", port=8080, timeout=20)
    own = service("own", SERVE, readiness=ready)
    shared = service("shared", SERVE, readiness=ready, multi_stage=True)
    ask = "wget -q -O - http://{name}:8080/ || echo gone"
    await docker_machine.start(
        stage("first", ask.format(name="own"), services=(own,)),
        PlannedStage(name="start", services=(shared,)),
        stage("second", ask.format(name="own"), ask.format(name="shared")),
    )

    assert (await docker_machine.finished(within=90)).outcome is Outcome.SUCCEEDED
    assert await docker_machine.printed("first") == ["welcome"]
    assert [line for line in await docker_machine.printed("second") if not line.startswith("wget")] == [
        "gone",
        "welcome",
    ]
    found = await ends(docker_machine)
    assert (found["first/own"], found["start/shared"]) == ("SUCCEEDED", "SUCCEEDED")


async def test_a_service_that_fails_later_fails_itself_alone(docker_machine: Any) -> None:
    short = service("short", "echo bye", "exit 5")
    await docker_machine.start(stage("test", "sleep 1.5", services=(short,)))

    assert (await docker_machine.finished(within=60)).outcome is Outcome.SUCCEEDED
    found = await ends(docker_machine)
    assert (found["test"], found["test/short"]) == ("SUCCEEDED", "FAILED")
    lines = [entry for entry in await docker_machine.entries() if isinstance(entry, Line) and entry.stage == "short"]
    assert [(line.text, line.parent, line.service) for line in lines if line.text == "bye"] == [("bye", "test", True)]


async def test_a_service_that_is_not_due_leaves_no_trace(docker_machine: Any) -> None:
    never = service("never", "true", when="branch == 'other'")
    await docker_machine.start(stage("test", "true", services=(never,)))

    assert (await docker_machine.finished(within=60)).outcome is Outcome.SUCCEEDED
    assert "test/never" not in await ends(docker_machine)


async def test_nothing_is_left_of_services_and_their_network(docker_machine: Any, engine: aiodocker.Docker) -> None:
    plan = await docker_machine.start(stage("test", "true", services=(service("web", "sleep 60"),)))
    await docker_machine.finished(within=60)
    labelled = {"label": [f"{JOB_LABEL}={plan.job_name}"]}

    async def nothing() -> bool:
        containers = await engine.containers.list(all=True, filters=labelled)
        return not containers and not await engine.networks.list(filters=labelled)

    await eventually(nothing, within=30)


async def test_services_without_an_engine_are_told(machine: Any) -> None:
    await machine.start(stage("test", "echo never", services=(service("web", "true"),)))

    assert (await machine.finished()).outcome is Outcome.FAILED
    assert await machine.printed("test") == ["service web: services need a container engine, and there is none here"]
