"""What is rendered is what Kubernetes takes: from the oldest version that is supported to the newest."""

import kubernetes_validate
import pytest
from helm_python import lint

from tests.helm.conftest import CHART, ELSEWHERE, EVERYTHING, HIGHLY_AVAILABLE, Render

VERSIONS = [f"1.{minor}" for minor in range(25, 38)]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_that_this_version_knows(render: Render, version: str) -> None:
    checked = []
    for values in ("", HIGHLY_AVAILABLE, EVERYTHING, ELSEWHERE):
        for each in render(values, version=version, upgrade=True).objects:
            if (form := (each["apiVersion"], each["kind"], _form(each))) not in checked:
                kubernetes_validate.validate(each, version, strict=True)  # raises where there is no schema, too
                checked.append(form)


def _form(value: object) -> object:
    """Return what a schema looks at: which fields there are and of which types, not what they say."""
    match value:
        case dict():
            return {key: _form(inner) for key, inner in value.items()}
        case list():
            forms: list[object] = []
            for form in map(_form, value):
                if form not in forms:
                    forms.append(form)
            return forms
        case _:
            return type(value)


def test_kubernetes_1_20_gets_the_versions_that_it_has(render: Render) -> None:
    rendered = render(EVERYTHING, version="1.20")
    kinds = ("HorizontalPodAutoscaler", "PodDisruptionBudget", "CronJob")
    assert {kind: {each["apiVersion"] for each in rendered.all(kind)} for kind in kinds} == {
        "HorizontalPodAutoscaler": {"autoscaling/v2beta2"},
        "PodDisruptionBudget": {"policy/v1beta1"},
        "CronJob": {"batch/v1beta1"},
    }


@pytest.mark.parametrize("version", ["1.20", VERSIONS[0], VERSIONS[-1]])
def test_helm_finds_no_fault_with_the_chart(version: str) -> None:
    report = lint(CHART, {"kubeVersion": version}, strict=True, namespace="ci", kube_version=f"v{version}.0")
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["path"] != "Chart.yaml"] == []  # there it wants an icon


def test_monitors_are_made_where_they_are_asked_for(render: Render) -> None:
    assert render().all("ServiceMonitor") == []
    [monitor] = render("serviceMonitor: {enabled: true}").all("ServiceMonitor")
    assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "15s"}]
