"""`python -m estafette_local.dev`: everything on this machine, until Ctrl-C."""

import argparse
import sys
from pathlib import Path

from estafette_local.environment import Options
from estafette_local.local_run import console, note, port_for, run, stage_runtime, stay
from estafette_local.stack import Stack


def main() -> int:
    """Start the stack, print every address and stay."""
    parser = argparse.ArgumentParser(prog="dev", description="Start everything on loopback and stay.")
    parser.add_argument("--data", type=Path, default=Path(".estafette"), help="folder of everything that is kept")
    parser.add_argument("--port", type=int, help="port of the page (default: 8080, or a free one)")
    parser.add_argument("--replicas", type=int, default=1, help="processes of each service")
    parser.add_argument("--stages", choices=("docker", "process"), help="default: in Docker when it is there")
    arguments = parser.parse_args()
    options = Options(
        stage_runtime=stage_runtime(arguments.stages),
        ports={
            "web": port_for("web", arguments.port),
            "webhook-ingress": port_for("webhook-ingress"),
            "api": port_for("api"),
        },
        replicas={"*": arguments.replicas},
    )
    note("starting NATS, PostgreSQL and every service on loopback …")
    with Stack(arguments.data, options) as stack:
        for name, address in stack.addresses().items():
            console.print(f"  {name:<24} {address}", highlight=False, soft_wrap=True)
        note(f"webhooks: POST {stack.url('webhook-ingress')}/api/integrations/github/events, signed with the secret in")
        note(
            f"  {stack.data}/webhook.secret; repositories are read from {stack.places.repositories}/<owner>/<name>.git"
        )
        note(f"the page: {stack.url('web')}")
        stay()
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
