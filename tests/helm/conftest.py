"""The chart, rendered without a cluster."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart

CHART = Path(__file__).parents[2] / "deploy/helm/estafette-ci"

Object = dict[str, Any]
Render = Callable[..., "Rendered"]

HIGHLY_AVAILABLE = """
api: {deployment: {replicaCount: 3}, autoscaling: {enabled: true}}
web: {deployment: {replicaCount: 3}, autoscaling: {enabled: true}}
db: {statefulset: {replicas: 3}}
metrics: {server: {replicaCount: 2}}
queue: {cluster: {enabled: true, replicas: 3}}
"""
"""As the guide to running Estafette CI in production has it."""

EVERYTHING = """
api:
  image: {credentials: {registry: docker.io, username: robin, password: "123"}}
  imagePullSecrets: [{name: another}]
  deployment:
    extraEnv: [{name: ONE, value: "1"}]
    extraVolumes: "- {name: more, emptyDir: {}}"
    extraVolumeMounts: [{name: more, mountPath: /more}]
    podAnnotations: {a: b}
    nodeSelector: {a: b}
    tolerations: [{key: a, operator: Exists}]
    priorityClassName: important
  autoscaling: {enabled: true, targetMemoryUtilizationPercentage: 90}
  ingress: {enabled: true, ingressClassName: nginx, annotations: {a: b}}
  ingressWebhooks: {enabled: true}
  tls: {cert: made up, key: made up}
  secret: {secretDecryptionKey: 01234567890123456789012345678901}
  config: {files: {config.yaml: "trustedImages: []", credentials.yaml: "credentials: []"}}
  extraSecrets: [{key: iam, mountPath: /iam, b64encoded: true, data: {key.json: e30=}}]
  extraConfigmaps: [{key: templates, mountPath: /templates, data: {a: b}}]
web: {service: {type: NodePort, annotations: {a: b}}}
job-dispatcher: {deployment: {replicaCount: 2}}
jobs: {runNamespaces: {enabled: true}, placement: {build: {nodeSelector: {a: b}}}}
github: {appId: "1", appKey: made up}
kubeconfigSecret: elsewhere
db: {statefulset: {replicas: 2}, backup: {enabled: true}, parameters: {max_connections: 200}}
db-client: {enabled: true}
queue: {cluster: {enabled: true}, imagePullSecrets: [{name: estafette-ci-api.registry}]}
networkPolicy: {ingressFrom: [{namespaceSelector: {}}], metricsFrom: [{namespaceSelector: {}}]}
"""

ELSEWHERE = """
db: {enabled: false, external: {existingSecret: database}}
queue: {enabled: false, external: {url: "nats://nats.example:4222", existingSecret: nats}}
api: {secret: {existingSecret: manifests}}
webhook-ingress: {secret: {existingSecret: webhooks}}
"""


class Rendered:
    """The objects of a rendering."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.objects: list[Object] = [
            each for path, text in files.items() if path.endswith(".yaml") for each in yaml.safe_load_all(text) if each
        ]

    def all(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        [found] = [each for each in self.all(kind) if each["metadata"]["name"] == name]
        return found

    def names(self, kind: str) -> set[str]:
        return {each["metadata"]["name"] for each in self.all(kind)}

    def pods(self) -> dict[str, Object]:
        """Return the specs of all pods by kind and name."""
        paths: dict[str, tuple[str, ...]] = {
            "Pod": ("spec",),
            "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
            **dict.fromkeys(("Deployment", "StatefulSet", "Job"), ("spec", "template", "spec")),
        }
        found = {}
        for each in self.objects:
            if each["kind"] in paths:
                spec = each
                for step in paths[each["kind"]]:
                    spec = spec[step]
                found[f"{each['kind']} {each['metadata']['name']}"] = spec
        return found

    def container(self, deployment: str) -> Object:
        [first, *_] = self.pods()[f"Deployment {deployment}"]["containers"]
        return dict(first)

    def environment(self, deployment: str) -> dict[str, Any]:
        return {each["name"]: each.get("value", each.get("valueFrom")) for each in self.container(deployment)["env"]}


@lru_cache
def _render(values: str, *, version: str, upgrade: bool) -> Rendered:
    given = yaml.safe_load(values) or {}
    if version:
        given["kubeVersion"] = version
    with Chart.load(CHART) as chart:
        return Rendered(chart.render(given, name="estafette-ci", namespace="ci", is_upgrade=upgrade))


@pytest.fixture(scope="session")
def render() -> Render:
    """Render the chart as the release `estafette-ci` in the namespace `ci`, with values in YAML."""

    def rendering(values: str = "", *, version: str = "", upgrade: bool = False) -> Rendered:
        return _render(values, version=version, upgrade=upgrade)

    return rendering
