"""A job to test with."""

from typing import Any

from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, Repository, Version


def plan(**own: Any) -> Plan:
    """Return the plan of a build without stages; `own` fields of it take the place of what it has else."""
    fields: dict[str, Any] = {
        "kind": Kind.BUILD,
        "job_id": "7",
        "repository": Repository(source="github.com", owner="acme", name="shop"),
        "branch": "main",
        "revision": "c" * 40,
        "clone_url": "file:///nowhere",
        "version": Version(version="1.0.7", counter=7),
        "stages": (),
    }
    return Plan(**fields | own)
