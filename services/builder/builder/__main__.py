"""`python -m builder run`: one job. `python -m builder host`: any number of them on this machine.

`python -m builder local …` is what `estafette run …` starts.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import zstandard
from estafette_common import telemetry
from estafette_common.jobs.plan import Plan

from builder import attempt
from builder.host import Host
from builder.jobfolders import Folder, Jobs, OccupiedError
from builder.runtimes import choosing
from builder.settings import Settings


def run(settings: Settings) -> int:
    """Run the one job that the settings name."""
    if settings.plan_file is None or settings.key_file is None:
        sys.exit("ESTAFETTE_PLAN_FILE and ESTAFETTE_KEY_FILE must name the job's plan and key")
    job = attempt.Attempt(
        plan=_read_plan(settings.plan_file),
        key=settings.key_file.read_bytes(),
        nats_credentials=settings.nats_credentials,
        number=settings.attempt,
        begun_before=settings.begun_before,
        cgroups=settings.cgroups,
        workspace=settings.workspace,
        group=Path("/dev/null"),
        traceparent=settings.traceparent,
    )
    return attempt.run(job, settings)


def _read_plan(file: Path) -> Plan:
    """Return the plan in a file, which is compressed where its name says so."""
    content = file.read_bytes()
    return Plan.model_validate_json(zstandard.decompress(content) if file.suffix == ".zst" else content)


def host(settings: Settings) -> int:
    """Serve the socket that the settings name."""

    def run_folder(folder: Folder) -> int:
        return attempt.run(folder.read(), settings)

    def clean(folder: Folder) -> None:
        asyncio.run(choosing.clean(folder.name, settings))

    try:
        keep, most_bytes = settings.keep_workspaces, settings.keep_workspaces_bytes
        jobs = Jobs(settings.jobs_dir, keep=keep, most_bytes=most_bytes)
    except OccupiedError as error:
        sys.exit(str(error))
    Host(jobs, settings.local_socket, run_folder, clean, attempts=settings.attempts).serve()
    return 0


def local(arguments: list[str]) -> int:
    """Run the manifest in this folder as the arguments say."""
    from builder.local import main  # noqa: PLC0415  it reads manifests, which no other builder needs

    telemetry.configure(service="builder", log_level="error")
    return main(arguments)


if __name__ == "__main__":
    if sys.argv[1:2] == ["local"]:
        sys.exit(local(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="builder", description=__doc__)
    parser.add_argument("what", choices=["run", "host"])
    chosen = {"run": run, "host": host}[parser.parse_args().what]
    settings = Settings()
    telemetry.configure(service="builder", log_level=settings.log_level, otlp_endpoint=settings.otlp_endpoint)
    sys.exit(chosen(settings))
