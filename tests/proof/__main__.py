"""`python -m tests.proof`: nothing is lost and nothing doubled, whatever is done to the system. See docs/proof.md."""

import argparse
import asyncio
import random
import time
from collections import Counter

from tests.proof import pushes
from tests.proof.feeding import Feeder
from tests.proof.injecting import Injector
from tests.proof.proving import begin, folder, forget, report, scene, settle
from tests.proof.schedule import LONG, QUICK, schedule

BUILDS = {"quick": 100, "long": 300}
"""That pushes make; those of the schedule come on top."""


def main() -> int:
    """Return 0 when the promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 builds, one NATS server, short faults")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat it; default: any")
    parser.add_argument("--faultless", action="store_true", help="inject nothing")
    arguments = parser.parse_args()
    seed = random.randrange(1_000_000) if arguments.seed is None else arguments.seed
    return asyncio.run(prove(seed, quick=arguments.quick, faultless=arguments.faultless))


async def prove(seed: int, *, quick: bool, faultless: bool) -> int:
    """Run one proof and print its table; returns the exit code."""
    data, began = folder(), time.monotonic()
    scale = QUICK if quick else LONG
    faults = [] if faultless else schedule(seed, scale)
    plan = pushes.plan(seed, builds=BUILDS["quick" if quick else "long"], seconds=scale.seconds * 0.9)
    print(f"seed {seed}: {len(plan.pushes)} pushes, {len(faults)} faults; data and logs are in {data}", flush=True)
    async with scene(data, nats_servers=scale.nats_servers) as on:
        ingresses = [on.stack.url("webhook-ingress", replica) for replica in range(2)]
        root, secret = on.stack.places.repositories, on.stack.webhook_secret
        feeder = Feeder(on.person, ingresses, root, secret=secret, seed=seed)
        injector = Injector(on.stack, on.lines, on.bus, on.clock)
        due = await begin(on, feeder)
        print(f"ready after {time.monotonic() - began:.0f} s", flush=True)
        await asyncio.gather(
            feeder.feed(plan, on.bus, seconds=scale.seconds), injector.inject(faults, began=time.monotonic())
        )
        print(f"all was sent, the last fault is over after {time.monotonic() - began:.0f} s", flush=True)
        verdict, observed = await settle(on, feeder.sent, due)
    counted = Counter({str(kind): count for kind, count in injector.done.items()})
    print(report(seed, verdict, observed, feeder, counted, seconds=time.monotonic() - began))
    for fault in injector.missed:
        print(f"not injected, there was nothing to hit: {fault}")
    if verdict.clean:
        forget(data)
        return 0
    print(f"the promise was broken; everything is kept in {data}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
