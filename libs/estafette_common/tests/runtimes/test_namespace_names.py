from collections.abc import Callable
from pathlib import Path

import pytest
from estafette_common.jobs.plan import RunNamespace, Version
from estafette_common.jobs.runtimes import JobRefusedError, JobSpec
from estafette_common.jobs.runtimes.local import LocalRuntime
from estafette_common.jobs.runtimes.namespaces import RunNamespaces, is_of, names, namespace_object

MakeJob = Callable[..., JobSpec]


@pytest.mark.parametrize(
    ("version", "branch", "begins"),
    [
        ("1.0.7", "main", "run-1-0-7-main-"),
        ("1.0.7-Feature", "Feature/Ünicode_x", "run-1-0-7-feature-feature--nicode-x-"),
        ("1.0.7", "b" * 300, "run-1-0-7-" + "b" * 44 + "-"),
        ("1", "-", "run-1-"),
    ],
)
def test_names_are_dns_labels_that_say_what_runs(make_job: MakeJob, version: str, branch: str, begins: str) -> None:
    found = list(names(make_job(branch=branch, version=Version(version=version, counter=7)).plan))

    assert all(name.startswith(begins) and len(name) == len(begins) + 8 <= 63 for name in found)
    assert len(set(found)) == len(found)


def test_a_namespace_is_that_of_its_run_alone_and_only_while_it_stays(make_job: MakeJob) -> None:
    own, other = make_job(run_namespace=RunNamespace()).plan, make_job().plan
    namespace = namespace_object(own, "run-1", home="jobs")

    assert is_of(namespace, own)
    assert not is_of(namespace, other)
    assert not is_of({"metadata": namespace["metadata"] | {"deletionTimestamp": "2026-03-04T12:00:00Z"}}, own)
    assert not is_of({"metadata": {"name": "run-1"}}, own)


async def test_a_job_that_asks_for_a_namespace_is_refused_where_there_are_none(make_job: MakeJob) -> None:
    job = make_job(run_namespace=RunNamespace())
    closed = RunNamespaces(home="jobs", allowed=False, role="edit")

    with pytest.raises(JobRefusedError, match="ESTAFETTE_RUN_NAMESPACES"):
        await closed.prepare(job)
    with pytest.raises(JobRefusedError, match="jobs do not run in Kubernetes here"):
        await LocalRuntime(Path("/nowhere")).start(job)
