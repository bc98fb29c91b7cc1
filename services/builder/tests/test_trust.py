"""What containers of trusted images may do, and others may not, in a real Docker Engine."""

import asyncio
import json
import os
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiodocker
import pytest
from builder.masking import Masker
from builder.resolving import Resolver
from builder.runtimes import Rights, StageRun, docker
from builder.runtimes.configuring import CLIENT
from estafette_common.bus.messages.logs import Line
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedService, PlannedStage
from estafette_common.manifest import secrets
from estafette_local.waiting import eventually

IMAGE = "busybox:latest"
PASSWORD = 'hunter2-"quoted"\nand <more> lines'
READ = "cat /credentials/kubernetes_engine.json"


def stage(name: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(**{"name": name, "image": IMAGE, "commands": commands} | fields)


def trusted(**fields: Any) -> tuple[dict[str, Any], ...]:
    return ({"path": "busybox", **fields},)


GKE = trusted(injectedCredentialTypes=["kubernetes-engine"], allowCommands=True)


def credential(machine: Any, **fields: Any) -> dict[str, Any]:
    password = secrets.encrypt(PASSWORD, key=machine.key)
    properties = {"project": "${ESTAFETTE_GIT_NAME}-production", "password": password}
    return {"name": "production", "type": "kubernetes-engine", "additionalProperties": properties} | fields


def run(folder: Path, *commands: str, rights: Rights = Rights()) -> StageRun:  # noqa: B008  frozen
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    return StageRun(
        name="test",
        image=IMAGE,
        shell="/bin/sh",
        work_dir="/estafette-work",
        commands=commands,
        run_commands_in_foreground=False,
        environment={},
        workspace=workspace,
        rights=rights,
    )


@pytest.fixture
async def runtime(engine: aiodocker.Docker) -> AsyncIterator[docker.DockerRuntime]:
    own = await docker.connect()
    assert own is not None
    runtime = docker.DockerRuntime(own, job=f"test-{os.getpid()}")
    yield runtime
    await runtime.clean()
    await runtime.close()


async def created(engine: aiodocker.Docker) -> Any:
    """Return what the engine shows of the one container that was prepared."""
    labelled = {"label": [f"{docker.JOB_LABEL}=test-{os.getpid()}"]}
    [container] = await engine.containers.list(all=True, filters=labelled)
    return await container.show()


# --- credentials -----------------------------------------------------------------------------------------------------


async def test_credentials_are_files_with_variables_replaced_and_secrets_open(docker_machine: Any) -> None:
    read = f"{READ} | tr '-' '_' > /estafette-work/seen; ls -l /credentials; touch /credentials/more"
    await docker_machine.start(
        stage("test", read), trusted_images=GKE, credentials=(credential(docker_machine, allowedBranches="main"),)
    )
    await docker_machine.finished()

    [seen] = json.loads((docker_machine.job_folder / "workspace/seen").read_text())
    assert seen == {
        "name": "production",
        "type": "kubernetes_engine",
        "allowedBranches": "main",
        "additionalProperties": {"project": "shop_production", "password": PASSWORD.replace("-", "_")},
    }
    printed = "\n".join(await docker_machine.printed("test"))
    assert "-rw-r--r--" in printed
    assert "Read-only file system" in printed


async def test_a_secret_of_a_credential_is_hidden_as_it_stands_in_its_file(docker_machine: Any) -> None:
    await docker_machine.start(
        stage("test", READ, "echo"), trusted_images=GKE, credentials=(credential(docker_machine),)
    )
    await docker_machine.finished()

    [line] = [line for line in await docker_machine.printed("test") if line]
    assert '"project":"shop-production"' in line
    for part in ("hunter2", "quoted", "more", "lines"):
        assert part not in line


async def test_nothing_of_a_credential_is_in_variables_or_arguments(docker_machine: Any) -> None:
    wait = "echo began; until [ -e go ]; do sleep 0.05; done; env; cat /proc/*/cmdline"
    await docker_machine.start(stage("test", wait), trusted_images=GKE, credentials=(credential(docker_machine),))
    await eventually(lambda: docker_machine.says("test", "began"))
    listed = await asyncio.to_thread(subprocess.check_output, ["ps", "axwwe", "-o", "args"])
    folders = [path.parent.parent for path in docker_machine.job_folder.rglob("kubernetes_engine.json")]
    modes = [stat.filemode(folder.stat().st_mode) for folder in folders]
    (docker_machine.job_folder / "workspace/go").touch()
    await docker_machine.finished()

    assert b"hunter2" not in listed
    assert "***" not in "".join(await docker_machine.printed("test"))
    assert modes == ["drwx------"]
    assert list(docker_machine.job_folder.rglob("kubernetes_engine.json")) == []


async def test_other_images_and_other_types_get_no_files(docker_machine: Any) -> None:
    look = stage("test", "ls /credentials")
    for number, (images, credentials) in enumerate(
        [
            (
                ({"path": "extensions/gke", "injectedCredentialTypes": ["kubernetes-engine"]},),
                (credential(docker_machine),),
            ),
            (GKE, (credential(docker_machine, type="slack-webhook"),)),
            (GKE, (credential(docker_machine, allowedTrustedImages="extensions/.+"),)),
            (GKE, ()),
        ],
        start=1,
    ):
        job_id = f"{docker_machine.job_id}{number}"
        await docker_machine.start(look, job_id=job_id, trusted_images=images, credentials=credentials)
        await docker_machine.finished(job_id)

        assert await docker_machine.printed("test", job_id=job_id) == [
            "ls: /credentials: No such file or directory",
            "failed with exit code 1",
        ]


async def test_services_of_trusted_images_get_their_files(docker_machine: Any) -> None:
    beside = PlannedService(name="beside", image=IMAGE, commands=("ls /credentials",), multi_stage=True)
    await docker_machine.start(
        stage("test", "sleep 0.5", services=(beside,)), trusted_images=GKE, credentials=(credential(docker_machine),)
    )
    await docker_machine.finished()

    assert await docker_machine.printed("beside") == ["kubernetes_engine.json"]


@pytest.mark.parametrize("allowed", [True, False])
async def test_commands_could_read_credentials_and_need_to_be_allowed(docker_machine: Any, allowed: bool) -> None:
    images = trusted(injectedCredentialTypes=["kubernetes-engine"], allowCommands=allowed)
    await docker_machine.start(stage("test", "echo hello"), trusted_images=images)
    outcome = (await docker_machine.finished()).outcome

    printed = await docker_machine.printed("test")
    if allowed:
        assert (outcome, printed) == (Outcome.SUCCEEDED, ["hello"])
    else:
        assert outcome is Outcome.FAILED
        assert printed[0].startswith("busybox gets credentials, so its stage may have no commands")


async def test_without_commands_a_trusted_image_runs_as_it_is(docker_machine: Any) -> None:
    images = trusted(injectedCredentialTypes=["kubernetes-engine"])
    await docker_machine.start(stage("test"), trusted_images=images, credentials=(credential(docker_machine),))

    assert (await docker_machine.finished()).outcome is Outcome.SUCCEEDED
    image = (await docker_machine.last_change("test")).image
    assert (image.is_trusted, image.has_injected_credentials) == (True, True)


async def test_a_credential_that_the_jobs_key_does_not_open_ends_the_job(docker_machine: Any) -> None:
    sealed = secrets.encrypt("hunter2-hunter2", key=os.urandom(32))
    await docker_machine.start(
        stage("test", "true"), credentials=(credential(docker_machine, additionalProperties={"password": sealed}),)
    )

    assert (await docker_machine.finished()).outcome is Outcome.REJECTED
    lines = [entry.text for entry in await docker_machine.entries() if isinstance(entry, Line)]
    assert any("cannot be opened" in line for line in lines)


def test_what_stands_in_json_is_hidden_with_quotes_and_all() -> None:
    text = '{"key": "one"}'

    assert Masker([text])(json.dumps({"file": text})) == '{"file": "***"}'


# --- rights ----------------------------------------------------------------------------------------------------------


async def test_other_containers_have_no_rights(
    runtime: docker.DockerRuntime, engine: aiodocker.Docker, folder: Path
) -> None:
    await runtime.prepare(run(folder))
    shown = await created(engine)

    assert shown["HostConfig"]["Privileged"] is False
    assert shown["Config"]["User"] == ""
    assert [each["Destination"] for each in shown["Mounts"]] == ["/estafette-work"]


async def test_an_image_may_run_privileged(
    runtime: docker.DockerRuntime, engine: aiodocker.Docker, folder: Path
) -> None:
    prepared = await runtime.prepare(run(folder, rights=Rights(is_trusted=True, privileged=True)))

    assert (await created(engine))["HostConfig"]["Privileged"] is True
    assert prepared.image.is_trusted


async def test_an_image_may_have_the_engine(
    runtime: docker.DockerRuntime, engine: aiodocker.Docker, folder: Path
) -> None:
    await runtime.prepare(run(folder, rights=Rights(is_trusted=True, engine=True)))
    shown = await created(engine)

    assert shown["Config"]["User"] == f"{os.getuid()}:{os.getgid()}"
    sources = {each["Destination"]: each["Source"] for each in shown["Mounts"]}
    assert sources["/var/run/docker.sock"].endswith("docker.sock")
    assert ("/dod/docker" in sources) == CLIENT.exists()


async def test_a_container_that_may_have_the_engine_finds_its_socket(
    runtime: docker.DockerRuntime, folder: Path
) -> None:
    prepared = await runtime.prepare(
        run(folder, "test -S /var/run/docker.sock", rights=Rights(is_trusted=True, engine=True))
    )

    assert await prepared.run(_ignore) == 0


async def _ignore(stream: str, data: bytes) -> None:
    """Take what a stage prints."""


@pytest.mark.parametrize(
    ("configured", "privileged", "engine"),
    [
        ({}, False, False),
        ({"runPrivileged": True}, True, False),
        ({"runDocker": True}, True, True),
    ],
)
async def test_rights_are_those_of_the_plan(
    idle_machine: Any, folder: Path, configured: dict[str, bool], privileged: bool, engine: bool
) -> None:
    beside = PlannedService(name="beside", image=IMAGE)
    plan = idle_machine.plan(stage("test", services=(beside,)), trusted_images=trusted(**configured))
    resolver = Resolver(plan, workspace=folder, open_secrets=str)
    expected = Rights(is_trusted=True, privileged=privileged, engine=engine)

    assert resolver.stage(plan.stages[0], "succeeded").rights == expected
    assert resolver.service(beside, "succeeded").rights == expected


async def test_an_image_of_the_same_name_in_another_registry_has_no_rights(idle_machine: Any, folder: Path) -> None:
    plan = idle_machine.plan(
        stage("test", image="evil.example/busybox"), trusted_images=trusted(runPrivileged=True, runDocker=True)
    )

    assert Resolver(plan, workspace=folder, open_secrets=str).stage(plan.stages[0], "succeeded").rights == Rights()
