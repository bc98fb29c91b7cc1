"""A job as every runtime is given it."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.jobs.runtimes import JobSpec

MakeJob = Callable[..., JobSpec]


@pytest.fixture
def make_job() -> MakeJob:
    """Make a job of the test's own; keywords replace fields of its plan."""

    def make(*, nats_credential: str = "", **fields: Any) -> JobSpec:
        plan = {
            "kind": Kind.BUILD,
            "job_id": str(uuid4().int >> 65),
            "repository": Repository(source="github.com", owner="acme", name="shop"),
            "branch": "main",
            "revision": "c" * 40,
            "clone_url": "file:///nowhere",
            "version": Version(version="1.0.7", counter=7),
            "stages": (PlannedStage(name="test", image="busybox:latest", commands=("true",)),),
        } | fields
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        return JobSpec(plan=Plan(**plan), key=bytes(range(32)), nats_credential=nats_credential, traceparent=trace)

    return make
