"""`python -m tests.proof.upgrading`: every service is replaced under load, by the commit before and back."""

import argparse
import asyncio
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from estafette_local.environment import SERVICES
from estafette_local.stack import Stack

from tests.proof import pushes
from tests.proof.feeding import Feeder
from tests.proof.proving import begin, folder, forget, report, scene, settle
from tests.proof.schedule import REPLICAS

ROOT = Path(__file__).parents[2]

BUILDS = 100

APART = 3.0
"""Seconds within which the pushes come that fall to the replacement of one process."""


def main() -> int:
    """Return 0 when nobody noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.upgrading", description=__doc__)
    parser.add_argument("--to", default="HEAD~1", help="the commit that is run in between")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat what was pushed")
    arguments = parser.parse_args()
    seed = random.randrange(1_000_000) if arguments.seed is None else arguments.seed
    data = folder()
    with installed(data / "other", arguments.to) as python:
        clean = asyncio.run(prove(data, seed, python))
    if clean:
        forget(data)
        return 0
    print(f"the promise was broken; everything is kept in {data}")
    return 1


@contextmanager
def installed(place: Path, commit: str) -> Iterator[Path]:
    """Give the interpreter of another commit, with all of its packages, as long as needed."""
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(place), commit], cwd=ROOT, check=True)
    try:
        own = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        command = ["uv", "sync", "--quiet", "--frozen", "--all-packages", "--no-dev"]
        subprocess.run(command, cwd=place, env=own, check=True)
        described = subprocess.run(
            ["git", "log", "-1", "--format=%h %s"], cwd=place, capture_output=True, text=True, check=True
        )
        print(f"the other commit: {described.stdout.strip()}", flush=True)
        yield place / ".venv/bin/python"
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(place)], cwd=ROOT, check=True)


async def prove(data: Path, seed: int, python: Path) -> bool:
    """Feed a stack while all of it is replaced; returns whether the promise was kept."""
    began = time.monotonic()
    print(f"seed {seed}: {BUILDS} pushes; data and logs are in {data}", flush=True)
    async with scene(data, nats_servers=1) as on:
        ingresses = [on.stack.url("webhook-ingress", replica) for replica in range(REPLICAS)]
        root, secret = on.stack.places.repositories, on.stack.webhook_secret
        feeder = Feeder(on.person, ingresses, root, secret=secret, seed=seed)
        due = await begin(on, feeder)
        replaced = await _replace_all(on.stack, python, feeder, pushes.plan(seed, builds=BUILDS, seconds=APART))
        verdict, observed = await settle(on, feeder.sent, due)
    print(report(seed, verdict, observed, feeder, replaced, seconds=time.monotonic() - began))
    return verdict.clean


async def _replace_all(stack: Stack, python: Path, feeder: Feeder, plan: pushes.Plan) -> Counter[str]:
    """Replace every process by that of the other commit, then each by its own again; pushes come all the time."""
    replaced: Counter[str] = Counter()
    steps = [(*each, build) for build in (python, None) for each in _processes()]
    async with asyncio.TaskGroup() as pushing:
        for number, (service, replica, build) in enumerate(steps):
            for push in plan.pushes[number :: len(steps)]:
                pushing.create_task(feeder.push(push))
            began = time.monotonic()
            await asyncio.to_thread(stack.restart, service, replica, python=build)
            what = "replaced by the other commit" if build else "replaced by this commit again"
            replaced[what] += 1
            print(f"{service}-{replica} {what} within {time.monotonic() - began:.1f} s", flush=True)
    return replaced


def _processes() -> list[tuple[str, int]]:
    return [("builder-host", 0), *((service, replica) for service in SERVICES for replica in range(REPLICAS))]


if __name__ == "__main__":
    raise SystemExit(main())
