"""What a pod is given, by settings and by what jobs like it took."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from estafette_common.jobs.runtimes import JobSpec
from estafette_common.jobs.runtimes.kubernetes_objects import job_object
from estafette_common.jobs.runtimes.kubernetes_resources import Bounds, Share, amount, resources, share
from estafette_common.jobs.runtimes.settings import RuntimeSettings
from estafette_common.jobs.usage import Usage
from pydantic import ValidationError

CPU = Bounds(least=0.05, most=1.0, request_ratio=1.0, limit_ratio=2.0)
MEMORY = Bounds(least=64, most=8192, request_ratio=1.25, limit_ratio=1.0)
A_MEBIBYTE = 1024**2


def taken(mebibytes: float, cpu: float, *, out_of_memory: bool = False) -> Usage:
    return Usage(memory=int(mebibytes * A_MEBIBYTE), cpu=cpu, out_of_memory=out_of_memory)


@pytest.mark.parametrize(
    ("most", "bounds", "expected"),
    [
        (0.2, CPU, Share(0.2, 0.4)),
        (0.0, CPU, Share(0.05, 0.1)),
        (0.8, CPU, Share(0.8, 1.6)),
        (7.0, CPU, Share(1.0, 2.0)),
        (400, MEMORY, Share(500, 500)),
        (10, MEMORY, Share(64, 64)),
        (51.2, MEMORY, Share(64, 64)),
        (6553.6, MEMORY, Share(8192, 8192)),
        (9000, MEMORY, Share(8192, 8192)),
        (100, Bounds(least=1, most=1000, request_ratio=0.5, limit_ratio=3.0), Share(50, 150)),
        (100, Bounds(least=1, most=1000, request_ratio=1.0, limit_ratio=0.5), Share(100, 100)),
        (5, Bounds(least=64, most=32, request_ratio=1.0, limit_ratio=1.0), Share(32, 32)),
    ],
)
def test_what_was_taken_times_the_ratio_is_asked_for_within_the_bounds(
    most: float, bounds: Bounds, expected: Share
) -> None:
    assert share(most, bounds) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("measured", "requests", "limits"),
    [
        (None, {"cpu": "0.5", "memory": "256Mi"}, {"cpu": "1", "memory": "8Gi"}),
        (taken(400, 0.2), {"cpu": "200m", "memory": "500Mi"}, {"cpu": "400m", "memory": "500Mi"}),
        (taken(0, 0), {"cpu": "50m", "memory": "64Mi"}, {"cpu": "100m", "memory": "64Mi"}),
        (taken(99_999, 64), {"cpu": "1000m", "memory": "8192Mi"}, {"cpu": "2000m", "memory": "8192Mi"}),
        (
            taken(400, 0.2, out_of_memory=True),
            {"cpu": "200m", "memory": "500Mi"},
            {"cpu": "400m", "memory": "8192Mi"},
        ),
    ],
    ids=["not-measured", "measured", "hardly-anything", "more-than-there-is", "ran-out-of-memory"],
)
def test_by_default_a_pod_is_given_what_the_reference_gives(
    measured: Usage | None, requests: dict[str, str], limits: dict[str, str]
) -> None:
    assert resources(measured, RuntimeSettings()) == {"requests": requests, "limits": limits}


def test_settings_change_bounds_and_ratios() -> None:
    settings = RuntimeSettings(
        builder_cpu_least="100m",
        builder_cpu_limit="4",
        builder_cpu_request_ratio=0.5,
        builder_cpu_limit_ratio=1.0,
        builder_memory_least="128Mi",
        builder_memory_limit="1G",
        builder_memory_request_ratio=1.0,
        builder_memory_limit_ratio=2.0,
    )

    assert resources(taken(100, 3.0), settings) == {
        "requests": {"cpu": "1500m", "memory": "128Mi"},
        "limits": {"cpu": "1500m", "memory": "256Mi"},
    }
    assert resources(taken(2000, 0.0), settings)["requests"] == {"cpu": "100m", "memory": "953Mi"}  # 1G


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("0.5", 0.5), ("250m", 0.25), ("2", 2), ("64Mi", 64 * A_MEBIBYTE), ("1G", 1e9), ("1k", 1000), ("1Ki", 1024)],
)
def test_an_amount_is_read_as_kubernetes_does(quantity: str, expected: float) -> None:
    assert amount(quantity) == pytest.approx(expected)


@pytest.mark.parametrize("quantity", ["", "much", "-1", "1 Gi", "1gi", "1Mi\n"])
def test_what_is_no_amount_is_refused_at_the_start(quantity: str) -> None:
    with pytest.raises(ValidationError, match="builder_memory"):
        RuntimeSettings(builder_memory=quantity)
    with pytest.raises(ValueError, match="not a quantity"):
        amount(quantity)


def test_the_pod_of_a_job_is_given_what_jobs_like_it_took(make_job: Callable[..., JobSpec]) -> None:
    job = replace(make_job(), measured=taken(400, 0.2))

    pod: dict[str, Any] = job_object(job, RuntimeSettings())["spec"]["template"]["spec"]

    assert pod["containers"][0]["resources"] == resources(job.measured, RuntimeSettings())
