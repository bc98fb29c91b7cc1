"""What values do, and which are refused."""

import base64
import json

import pytest
import yaml
from helm_python import Chart, HelmError

from tests.helm.conftest import CHART, ELSEWHERE, EVERYTHING, HIGHLY_AVAILABLE, Render

CREDENTIALS = "{registry: docker.io, username: robin, password: token}"


def test_values_for_high_availability_of_estafette_ci_are_taken(render: Render) -> None:
    rendered = render(HIGHLY_AVAILABLE)
    scaled = {"estafette-ci-api", "estafette-ci-web"}
    assert rendered.names("HorizontalPodAutoscaler") == scaled
    assert {each["metadata"]["name"] for each in rendered.all("Deployment") if "replicas" not in each["spec"]} == scaled
    sets = {each["metadata"]["name"]: each["spec"]["replicas"] for each in rendered.all("StatefulSet")}
    assert sets == {"estafette-ci-db": 3, "estafette-ci-queue": 3}


@pytest.mark.parametrize("part", ["api", "web"])
def test_resources_are_given_where_estafette_ci_has_them(render: Render, part: str) -> None:
    rendered = render(f"{part}: {{deployment: {{resources: {{requests: {{cpu: 100m}}, limits: {{memory: 256Mi}}}}}}}}")
    resources = rendered.container(f"estafette-ci-{part}")["resources"]
    assert (resources["requests"]["cpu"], resources["limits"]["memory"]) == ("100m", "256Mi")


@pytest.mark.parametrize(("values", "name"), [("db: {statefulset: {resources: {limits: {memory: 12Gi}}}}", "db")])
def test_resources_of_the_database_are_given_under_its_statefulset(render: Render, values: str, name: str) -> None:
    [container] = render(values).pods()[f"StatefulSet estafette-ci-{name}"]["containers"]
    assert container["resources"]["limits"] == {"memory": "12Gi"}


def test_resources_of_nats_are_given_under_queue_nats(render: Render) -> None:
    rendered = render("queue: {nats: {resources: {limits: {memory: 128Mi}}}}")
    [container] = rendered.pods()["StatefulSet estafette-ci-queue"]["containers"]
    assert container["resources"]["limits"] == {"memory": "128Mi"}


PARTS = ("api", "web", "db", "cron-event-sender", "hanging-job-cleaner", "db-migrator", "db-client")


@pytest.mark.parametrize("part", PARTS)
def test_image_credentials_of_every_part_make_its_pull_secret(render: Render, part: str) -> None:
    values = f"{part}: {{enabled: true, image: {{credentials: {CREDENTIALS}}}}}"
    rendered = render(values, upgrade=True)
    secret = rendered.one("Secret", f"estafette-ci-{part}.registry")
    login = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]["https://index.docker.io/v1/"]
    assert base64.b64decode(login["auth"]) == b"robin:token"
    if part != "db-migrator":  # on upgrades it runs only where the cluster says that the database is there
        users = [pod for pod in rendered.pods().values() if {"name": f"estafette-ci-{part}.registry"} in _pulls(pod)]
        assert users != []


def _pulls(pod: dict[str, object]) -> list[object]:
    pulls = pod.get("imagePullSecrets", [])
    assert isinstance(pulls, list)
    return pulls


def test_parts_without_credentials_of_their_own_pull_with_those_of_the_api(render: Render) -> None:
    pods = render(f"api: {{image: {{credentials: {CREDENTIALS}}}}}").pods()
    assert _pulls(pods["Deployment estafette-ci-log-sink"]) == [{"name": "estafette-ci-api.registry"}]


def test_a_name_of_a_pull_secret_is_given_to_nats(render: Render) -> None:
    pods = render("queue: {imagePullSecrets: [{name: estafette-ci-api.registry}]}").pods()
    assert _pulls(pods["StatefulSet estafette-ci-queue"]) == [{"name": "estafette-ci-api.registry"}]


def test_credentials_and_configuration_are_read_as_one_file(render: Render) -> None:
    values = """
    api:
      config:
        files:
          config.yaml: "trustedImages: [{path: extensions/gke}]"
          credentials.yaml: |
            credentials:
            - {name: docker-hub-pull, type: container-registry-pull, username: robin, password: token}
    """
    rendered = render(values)
    config = yaml.safe_load(rendered.one("Secret", "estafette-ci-config")["stringData"]["config.yaml"])
    assert config["trustedImages"] == [{"path": "extensions/gke"}]
    assert [each["name"] for each in config["credentials"]] == ["docker-hub-pull"]
    assert rendered.environment("estafette-ci-manifest-planner")["ESTAFETTE_CONFIG_FILE"] == "/configs/config.yaml"


def test_extra_secrets_are_mounted(render: Render) -> None:
    rendered = render(EVERYTHING)
    assert rendered.one("Secret", "estafette-ci-api.iam")["data"] == {"key.json": "e30="}
    mounts = rendered.container("estafette-ci-api")["volumeMounts"]
    assert {"/iam", "/templates", "/more"} <= {each["mountPath"] for each in mounts}


def test_servers_elsewhere_are_used_and_none_are_made(render: Render) -> None:
    rendered = render(ELSEWHERE)
    environment = rendered.environment("estafette-ci-manifest-planner")
    assert rendered.all("StatefulSet") == []
    assert environment["ESTAFETTE_NATS_URL"] == "nats://nats.example:4222"
    assert environment["ESTAFETTE_DATABASE_URL"] == {"secretKeyRef": {"name": "database", "key": "url"}}
    assert environment["ESTAFETTE_SECRET_KEY"] == {"secretKeyRef": {"name": "manifests", "key": "secretKey"}}


def test_a_database_elsewhere_is_brought_up_to_date_before_anything_is_installed(render: Render) -> None:
    job = render(ELSEWHERE).one("Job", "estafette-ci-db-migrator")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_nothing_touches_the_schema_while_the_migrator_is_off(render: Render) -> None:
    rendered = render(f"{ELSEWHERE}\ndb-migrator: {{enabled: false}}")
    assert "estafette_common.database" not in json.dumps(rendered.objects)


def test_only_parts_with_more_than_one_pod_have_a_disruption_budget(render: Render) -> None:
    assert render().names("PodDisruptionBudget") == set()
    budgets = render("notifier: {deployment: {replicaCount: 2}}").names("PodDisruptionBudget")
    assert budgets == {"estafette-ci-notifier"}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            "api: {deployment: {replicaCounts: 3}}",
            "'/api/deployment': additional properties 'replicaCounts' not allowed",
        ),
        ("api: {deployment: {replicaCount: three}}", "'/api/deployment/replicaCount': got string, want integer"),
        ("apis: {}", "additional properties 'apis' not allowed"),
        ("logLevel: loud", "'/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
        ("queue: {cluster: {enabled: true, replicas: 2}}", "'/queue/cluster/replicas': value must be one of 3, 5, 7"),
        ("queue: {nats: {jetstream: {syncInterval: often}}}", "'/queue/nats/jetstream/syncInterval': 'often' does not"),
        ("db: {persistence: {size: 20 GB}}", "'/db/persistence/size': '20 GB' does not match"),
        ("db: {enabled: false}", "db.external.existingSecret: name a Secret with the key url"),
        ("queue: {enabled: false}", "queue.external.url: say where NATS is"),
        ("db: {statefulset: {replicas: 2, primary: 2}}", "db.statefulset.primary: there is no replica 2 of 2"),
        ("api: {image: {credentials: {registry: docker.io}}}", "missing properties 'username', 'password'"),
        ("api: {secret: {secretDecryptionKey: short}}", "'/api/secret/secretDecryptionKey': 'short' does not match"),
        ('github: {appId: "1"}', "github.appKey or github.existingSecret: the App needs its private key"),
        ("jobs: {user: 0}", "'/jobs/user': minimum: got 0, want 1"),
    ],
)
def test_values_that_make_no_sense_are_refused_with_what_is_wrong(values: str, complaint: str) -> None:
    given = yaml.safe_load(values)
    with Chart.load(CHART) as chart, pytest.raises(HelmError) as refused:
        chart.render(given, name="estafette-ci", namespace="ci")
    assert complaint in str(refused.value)
