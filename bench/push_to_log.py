"""How long a push takes until a viewer of the live log sees the first line, beside a bare `docker run`.

`make bench-push-to-log`. Counted from sending the signed webhook to the line at a client of the event stream. Two
lines are looked at: the very first, and the first that the manifest's own stage prints, after the clone. The manifest
comes through the contents API of a small server on loopback that has it at hand, the clone from a repository on disk.
"""

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from estafette_common.bus import identity
from estafette_local.environment import Options
from estafette_local.forge import OPENAPI, FakeForge
from estafette_local.people import GitRepository, Person, push_delivery
from estafette_local.stack import Stack

IMAGE = "busybox:latest"
MANIFEST = f"stages:\n  hello:\n    image: {IMAGE}\n    commands:\n    - echo hello\n"
SAMPLE = {"ref": "", "repository": {"name": "", "owner": {"login": ""}}, "pusher": {}, "commits": []}

PROCESS_TARGET = 60.0
DOCKER_TARGET = 100.0
"""Milliseconds: in all with processes; above a bare container start with Docker."""


@dataclass(frozen=True)
class Sample:
    """Milliseconds from the request."""

    accepted: float
    first_line: float
    stage_line: float
    end: float


async def push(stack: Stack, forge: FakeForge, session: aiohttp.ClientSession, number: int) -> Sample:
    """Push once and watch."""
    assert forge.repositories is not None
    repository = GitRepository(forge.repositories, "acme", f"bench-{number}")
    revision = repository.commit({".estafette.yaml": MANIFEST})
    await forge.read("acme", repository.name, revision, ".estafette.yaml")
    delivery = push_delivery(SAMPLE, repository, revision=revision, secret=stack.webhook_secret)
    person = Person(session, ingress=stack.url("webhook-ingress"), api=stack.url("api"))
    build_id = identity.job_id(f"github.com/{repository.full_name}", identity.derive(delivery.id, "git-push"))
    build = {"repoSource": "github.com", "repoOwner": "acme", "repoName": repository.name, "id": build_id}
    began = time.perf_counter()

    def milliseconds() -> float:
        return (time.perf_counter() - began) * 1000

    if await person.deliver(delivery) != 200:
        sys.exit("the webhook was refused")
    accepted = milliseconds()
    first, stage = await watch(person, build, milliseconds)
    return Sample(accepted, first, stage, milliseconds())


async def watch(person: Person, build: dict[str, str], milliseconds: Callable[[], float]) -> tuple[float, float]:
    """Return when the first line and the first line of the stage came."""
    first = stage = 0.0
    async for told in person.watch(build):
        if told.event == "log" and "logLine" in told.data:
            first = first or milliseconds()
            if told.data["step"] == "hello":
                stage = stage or milliseconds()
    return first, stage


def bare_container() -> float:
    """Return the milliseconds from starting `docker run` to the first line of its container."""
    began = time.perf_counter()
    command = ["docker", "run", "--rm", IMAGE, "echo", "hello"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return (time.perf_counter() - began) * 1000


async def measure(data: Path, runtime: str, count: int) -> tuple[list[Sample], list[float]]:
    """Return samples of pushes, and of bare containers taken in turns with them where containers are used."""
    async with FakeForge(data / "repositories") as forge, aiohttp.ClientSession() as session:
        options = Options(
            stage_runtime=runtime, github_api_url=forge.url, github_token="bench", manifest_source="github"
        )
        stack = Stack(data, options)
        await asyncio.to_thread(stack.start)
        try:
            samples, bare = [], []
            for number in range(count + 3):
                sample = await push(stack, forge, session, number)
                if number >= 3:
                    samples.append(sample)
                    if runtime == "docker":
                        bare.append(await asyncio.to_thread(bare_container))
            return samples, bare
        finally:
            await asyncio.to_thread(stack.stop)


def report(runtime: str, samples: list[Sample], bare: list[float]) -> None:
    """Print the rows of a runtime."""
    start = statistics.median(bare) if bare else None
    if start is not None:
        print(f"| bare `docker run`, first line | {start:.0f} | {max(bare):.0f} | 1.00 |")
    for name in ("accepted", "first_line", "stage_line", "end"):
        values = [getattr(sample, name) for sample in samples]
        ratio = f"{statistics.median(values) / start:.2f}" if start else ""
        print(
            f"| {runtime}: {name.replace('_', ' ')} | {statistics.median(values):.0f} | {max(values):.0f} | {ratio} |"
        )


def main() -> None:
    """Measure, print the table, and what is aimed at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    count = parser.parse_args().count
    if not OPENAPI.exists():
        sys.exit("GitHub's OpenAPI document is missing: make setup")
    engine = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode == 0
    print("| from the request to | median ms | worst ms | x bare container |")
    print("|---|---|---|---|")
    for runtime in ["process", "docker"] if engine else ["process"]:
        folder = Path(tempfile.mkdtemp(prefix="estafette-bench-"))
        folder.chmod(0o755)
        try:
            report(runtime, *asyncio.run(measure(folder, runtime, count)))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\nTargets: {PROCESS_TARGET:.0f} ms with processes, a bare container + {DOCKER_TARGET:.0f} ms with Docker.")
    if not engine:
        print(f"Docker was not measured: no engine with {IMAGE}.")


if __name__ == "__main__":
    main()
