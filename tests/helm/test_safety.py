"""Keys stay, pods may do little, and every setting is one that its service knows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helm.conftest import EVERYTHING, Object, Render

SETTINGS = Path(__file__).parents[2] / "docs/settings.md"

SERVICES = {"cron-event-sender": "cron-sender"}
"""Parts that are called otherwise than their service."""

CLUSTER_USERS = {"Deployment estafette-ci-job-dispatcher", "Deployment estafette-ci-hanging-job-cleaner"}


def _containers(pod: Object) -> list[Any]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_rendering_twice_gives_the_same(render: Render) -> None:
    assert render(EVERYTHING).files == render(EVERYTHING + "\n").files  # the second is rendered anew


def test_no_key_is_in_what_is_rendered(render: Render) -> None:
    rendered = render()
    assert rendered.names("Secret") == {"estafette-ci-keys"}
    assert set(rendered.one("Secret", "estafette-ci-keys")["stringData"].values()) == {""}


def test_keys_are_made_before_everything_else_and_only_those_that_are_not_given(render: Render) -> None:
    job = render("webhook-ingress: {secret: {existingSecret: mine}}").one("Job", "estafette-ci-keys")
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert {each for each in arguments if each.endswith(("api", "queue", "db", "ingress"))} == {
        "--manifests=estafette-ci-api",
        "--nats=estafette-ci-queue",
        "--database=estafette-ci-db",
    }


def test_every_container_is_confined(render: Render) -> None:
    for name, pod in render(EVERYTHING).pods().items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in _containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name


def test_every_service_is_probed(render: Render) -> None:
    pods = {name: pod for name, pod in render().pods().items() if name.startswith(("Deployment", "StatefulSet"))}
    for name, pod in pods.items():
        [container] = pod["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name
        assert {each["topologyKey"] for each in pod["topologySpreadConstraints"]} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }, name


def test_only_who_talks_to_the_cluster_has_a_token(render: Render) -> None:
    with_token = {name for name, pod in render().pods().items() if pod["automountServiceAccountToken"]}
    assert with_token == CLUSTER_USERS | {"Job estafette-ci-keys"}


def test_rights_are_for_single_namespaces_and_single_verbs(render: Render) -> None:
    rendered = render()
    assert rendered.names("ClusterRole") == rendered.names("ClusterRoleBinding") == set()
    where = {each["metadata"]["name"]: each["metadata"]["namespace"] for each in rendered.all("Role")}
    assert where == {
        "estafette-ci-job-dispatcher": "ci-jobs",
        "estafette-ci-hanging-job-cleaner": "ci-jobs",
        "estafette-ci-keys": "ci",
    }
    assert "*" not in json.dumps([each["rules"] for each in rendered.all("Role")])


def test_the_seed_that_signs_credentials_of_jobs_is_for_job_dispatcher_alone(render: Render) -> None:
    holders = set()
    for name, pod in render().pods().items():
        for volume in pod["volumes"]:
            secret = volume.get("secret", {})
            if secret.get("secretName") == "estafette-ci-queue":
                holders |= {name for item in secret["items"] if item["key"] == "jobs.seed"}
    assert holders == {"Deployment estafette-ci-job-dispatcher"}


def test_every_pod_that_is_served_is_behind_a_network_policy(render: Render) -> None:
    rendered = render()
    walled = {
        each["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
        for each in rendered.all("NetworkPolicy")
    }
    served = {each["spec"]["selector"]["app.kubernetes.io/component"] for each in rendered.all("Service")}
    assert served <= walled


@pytest.mark.parametrize("values", ["", EVERYTHING])
def test_every_setting_is_one_that_the_service_knows(render: Render, values: str) -> None:
    known = dict(re.findall(r"^## ([-a-z]+)$(.*?)(?=^## |\Z)", SETTINGS.read_text(), re.MULTILINE | re.DOTALL))
    rendered = render(values)
    for deployment in rendered.names("Deployment"):
        part = deployment.removeprefix("estafette-ci-")
        names = {name for name in rendered.environment(deployment) if name.startswith("ESTAFETTE_")}
        table = known[SERVICES.get(part, part)]
        assert {name for name in names if f"`{name}`" not in table} == set(), part


@pytest.mark.parametrize(("values", "walled"), [("", True), ("jobs: {hostNetwork: true}", False)])
def test_nats_lets_in_services_and_jobs_alone_unless_jobs_come_from_the_node(
    render: Render, values: str, walled: bool
) -> None:
    policy = render(values).one("NetworkPolicy", "estafette-ci-queue")
    [door] = [each for each in policy["spec"]["ingress"] if each["ports"] == [{"port": "client"}]]
    assert ("from" in door) == walled
    if walled:
        assert {"namespaceSelector": {"matchLabels": {"estafette.io/jobs-of": "ci"}}} in door["from"]
