"""A Docker Engine of a job's own, started in a network of its own so that it leaves that of this machine alone."""

import os
import shutil
import subprocess
from pathlib import Path

import aiodocker
import pytest
from builder.dind import OwnEngineError, own_engine
from builder.runtimes import StageRun, docker
from estafette_common.jobs.plan import OwnEngine

IMAGE = "busybox:latest"

APART = ("unshare", "--net")
"""Gives a program a network of its own (util-linux)."""


@pytest.fixture
def program() -> tuple[str, ...]:
    if shutil.which("dockerd") is None or os.getuid() != 0:
        pytest.skip("needs dockerd, as root")
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a network of its own cannot be made here")
    return (*APART, "dockerd")


async def test_stages_run_in_the_engine_of_their_job(
    program: tuple[str, ...], engine: aiodocker.Docker, folder: Path
) -> None:
    (folder / "workspace").mkdir()
    said: list[bytes] = []

    async def take(_: str, data: bytes) -> None:
        said.append(data)

    wanted = OwnEngine(mtu=1234, bip="192.168.99.1/24")
    async with own_engine(wanted, folder, data=folder / "data", program=program) as address:
        own = await docker.connect(address)
        assert own is not None
        async with engine.images.export_image(IMAGE) as exported:
            await own.images.import_image(await exported.read())
        runtime = docker.DockerRuntime(own, job="build-1")
        prepared = await runtime.prepare(
            StageRun(
                name="test",
                image=IMAGE,
                shell="/bin/sh",
                work_dir="/estafette-work",
                commands=("cat /sys/class/net/eth0/mtu; ip -4 addr show eth0; touch made",),
                run_commands_in_foreground=False,
                environment={},
                workspace=folder / "workspace",
            )
        )
        code = await prepared.run(take)
        await runtime.close()

    printed = b"".join(said).decode().splitlines()
    assert code == 0
    assert "1234" in printed
    assert any("inet 192.168.99." in line for line in printed)
    assert (folder / "workspace/made").exists()
    assert await docker.connect(address) is None


async def test_an_engine_that_does_not_start_says_why(program: tuple[str, ...], folder: Path) -> None:
    with pytest.raises(OwnEngineError, match="nonsense"):
        async with own_engine(OwnEngine(bip="nonsense"), folder, data=folder / "data", program=program):
            pass


async def test_a_machine_without_a_docker_engine_says_so(folder: Path) -> None:
    with pytest.raises(OwnEngineError, match="no-such-program cannot be started"):
        async with own_engine(OwnEngine(), folder, program=("no-such-program",)):
            pass
