"""What events cost manifest-planner where there are many pipelines: matching them with triggers, and making builds.

`make bench-planner`, with real NATS and PostgreSQL. Matching, in an installation of 100 pipelines and in one of 10,000,
event by event in turns: every pipeline has a trigger of one kind; each event fires the one that waits for it. Counted
from the event to the firing that NATS has stored.

Building, in that of 10,000: the service runs as it is, in processes of its own. All pushes are told at once, each to a
pipeline of its own, in each round of other revisions. Counted until the last job was requested, and until nothing is
left to do: decisions told, triggers matched. Manifests come from an API as GitHub's, from a git server over HTTP, which
runs git itself, and through the git program, as from servers that take no filters.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from estafette_local.servers import NatsServer, PostgresServer

from bench.planner import building, matching


def main(events: int, pushes: int) -> None:
    """Measure and print the tables."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="estafette-bench-")))
        root.chmod(0o755)
        postgres = PostgresServer(root / "postgres")
        nats, another = NatsServer(root / "nats"), NatsServer(root / "another")
        for server in (postgres, nats, another):
            server.start()
            stack.callback(server.stop)
        missed = matching.report(asyncio.run(matching.compare(postgres, nats, events)))
        print(f"load: {os.getloadavg()[0]:.1f}\n")
        missed += building.report(asyncio.run(building.build(another, postgres, root, pushes)))
        print(f"load: {os.getloadavg()[0]:.1f}\n")
    if missed:
        sys.exit(f"not reached: {', '.join(missed)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000, help="of each kind, for each installation")
    parser.add_argument("--pushes", type=int, default=300, help="in each of three rounds")
    arguments = parser.parse_args()
    main(arguments.events, arguments.pushes)
