"""What a job is made of in Kubernetes, looked at without a cluster."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import OwnEngine, Repository
from estafette_common.jobs.runtimes import JobSpec
from estafette_common.jobs.runtimes.kubernetes_objects import files, job_name, job_object, secrets
from estafette_common.jobs.runtimes.settings import RuntimeSettings

MakeJob = Callable[..., JobSpec]
SETTINGS = RuntimeSettings(job_stage_runtime="docker")


def pod(job: JobSpec, settings: RuntimeSettings = SETTINGS) -> dict[str, Any]:
    found: dict[str, Any] = job_object(job, settings)["spec"]["template"]["spec"]
    return found


def test_a_job_is_named_by_kind_repository_and_id_and_later_attempts_by_their_number(make_job: MakeJob) -> None:
    job = make_job(job_id="42", repository=Repository(source="github.com", owner="Acme", name="The.Shop_1"))

    assert job_name(job) == "build-acme-the-shop-1-42"
    assert job_name(replace(job, attempt=2)) == "build-acme-the-shop-1-42-2"


def test_the_name_of_a_long_repository_is_cut_so_that_the_whole_fits(make_job: MakeJob) -> None:
    job = make_job(kind=Kind.RELEASE, repository=Repository(source="github.com", owner="a" * 39, name="b" * 100))

    name = job_name(replace(job, attempt=3))

    assert len(name) == 63
    assert name.endswith(f"-{job.plan.job_id}-3")


def test_only_a_job_with_its_own_engine_is_privileged_and_only_where_stages_run_in_containers(
    make_job: MakeJob,
) -> None:
    plain, engine = make_job(), make_job(own_engine=OwnEngine())

    assert pod(plain)["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(plain)["securityContext"]["runAsNonRoot"] is True
    assert pod(engine)["containers"][0]["securityContext"] == {"privileged": True}
    assert "/var/lib/docker" in [each["mountPath"] for each in pod(engine)["containers"][0]["volumeMounts"]]
    as_processes = RuntimeSettings(job_stage_runtime="process")
    assert "privileged" not in pod(engine, as_processes)["containers"][0]["securityContext"]


def test_builds_prefer_spot_nodes_and_releases_and_bots_avoid_them(make_job: MakeJob) -> None:
    build = pod(make_job())
    assert "preferredDuringSchedulingIgnoredDuringExecution" in build["affinity"]["nodeAffinity"]
    assert "cloud.google.com/gke-spot" in [each["key"] for each in build["tolerations"]]
    for kind in (Kind.RELEASE, Kind.BOT):
        other = pod(make_job(kind=kind))
        assert "requiredDuringSchedulingIgnoredDuringExecution" in other["affinity"]["nodeAffinity"]
        assert "cloud.google.com/gke-spot" not in [each["key"] for each in other["tolerations"]]


def test_the_settings_place_a_kind_where_they_say(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"nodeSelector": {"pool": "builds"}, "tolerations": [{"key": "builds", "operator": "Exists"}]}
    monkeypatch.setenv("ESTAFETTE_JOB_PLACEMENT", json.dumps({"build": wanted}))
    settings = RuntimeSettings()

    build = pod(make_job(), settings)

    assert build["nodeSelector"] == {"pool": "builds"}
    assert build["affinity"] == {}
    assert {"key": "builds", "operator": "Exists"} in build["tolerations"]
    assert "nodeAffinity" in pod(make_job(kind=Kind.BOT), settings)["affinity"]


def test_a_pod_leaves_a_silent_node_when_the_settings_say(make_job: MakeJob) -> None:
    tolerations = pod(make_job(), RuntimeSettings(node_loss_patience=7))["tolerations"]

    seconds = {each["key"]: each["tolerationSeconds"] for each in tolerations if "tolerationSeconds" in each}
    assert seconds == {"node.kubernetes.io/not-ready": 7, "node.kubernetes.io/unreachable": 7}


def test_what_the_image_is_pulled_with_is_a_secret_of_the_job_made_before_that_which_the_pod_waits_for(
    make_job: MakeJob,
) -> None:
    job = replace(make_job(), registry_logins='{"auths":{}}')

    pulling, plan = secrets(job, files(job), owner="the-uid")

    assert pod(job)["imagePullSecrets"] == [{"name": pulling["metadata"]["name"]}]
    assert pulling["type"] == "kubernetes.io/dockerconfigjson"
    assert base64.b64decode(pulling["data"][".dockerconfigjson"]) == b'{"auths":{}}'
    assert plan["metadata"]["name"] == job_name(job)
    assert {each["metadata"]["ownerReferences"][0]["uid"] for each in (pulling, plan)} == {"the-uid"}


def test_a_job_without_such_a_login_has_one_secret(make_job: MakeJob) -> None:
    assert len(secrets(make_job(), {}, owner="the-uid")) == 1
    assert "imagePullSecrets" not in pod(make_job())
