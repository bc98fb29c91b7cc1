"""What the file of a server's configuration says, and what a job gets of it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from estafette_common.github.client import GithubClient
from estafette_common.github.settings import GithubSettings
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import OwnEngine, Plan, PlannedService, PlannedStage, Repository, Version
from estafette_common.manifest import secrets
from manifest_planner.config import BY_DEFAULT, ConfigError, ServerConfig, load, read
from manifest_planner.sealing import Sealer

KEY = bytes(range(32))
PIPELINE = "github.com/acme/shop"


def sealed(value: str, allow_list: str = ".*") -> str:
    return secrets.encrypt(value, key=KEY, allow_list=allow_list)


def server(text: str) -> ServerConfig:
    return read(text, KEY, name="config.yaml")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        server(text)
    return str(caught.value).splitlines()


def granted(config: ServerConfig, *images: str, branch: str = "main", clone_token: str = "", **stage: Any) -> Plan:
    """Return the plan of a job with a stage for each image, as it goes to a builder."""
    stages = tuple(PlannedStage(name=f"stage-{number}", image=image, **stage) for number, image in enumerate(images))
    plan = Plan(
        kind=Kind.BUILD,
        job_id="1",
        repository=Repository(source="github.com", owner="acme", name="shop"),
        branch=branch,
        revision="a" * 40,
        clone_url="https://github.com/acme/shop.git",
        clone_token=clone_token,
        version=Version(version="1.0.7", counter=7),
        stages=stages,
    )
    plan, sealed_key = Sealer(KEY, GithubClient(GithubSettings()), config).seal(plan)
    key = secrets.unseal_key(sealed_key, secret_key=KEY, job_id="1")
    for credential in plan.credentials:  # whatever a builder gets, it can open
        secrets.decrypt_all(json.dumps(credential), key=key, pipeline=PIPELINE)
    return plan


def names(plan: Plan) -> list[str]:
    return [credential["name"] for credential in plan.credentials]


def test_without_a_file_nothing_is_trusted() -> None:
    assert load(None, KEY) == ServerConfig()


def test_the_shape_is_that_of_the_reference() -> None:
    config = server(
        """
        apiServer: {baseURL: https://ci.example.com}
        trustedImages:
        - path: extensions/gke
          injectedCredentialTypes: [kubernetes-engine]
          allowedPipelines: github.com/acme/.+
          allowCommands: true
        credentials:
        - name: gke-production
          type: kubernetes-engine
          allowedBranches: main|release
          project: acme-production
          region: europe-west1
          defaults: {replicas: 2, container: {port: 8080}, canary: false, labels: [a, 1.5, null]}
        """
    )

    [gke] = [image for image in config.trusted_images if image.path == "extensions/gke"]
    assert (gke.allow_commands, gke.run_docker, gke.injected_credential_types) == (True, False, ("kubernetes-engine",))
    [credential] = config.credentials
    assert credential.allowed_branches == "main|release"
    assert credential.additional_properties == {
        "project": "acme-production",
        "region": "europe-west1",
        "defaults": {"replicas": 2, "container": {"port": 8080}, "canary": False, "labels": ["a", 1.5, None]},
    }


def test_each_job_may_have_an_engine_of_its_own() -> None:
    engines = "apiServer: {baseURL: x, dockerConfigPerOperatingSystem: {windows: {}, linux: {%s}}}"
    own = server(engines % "runType: dind, mtu: 1460, bip: 192.168.1.1/24, registryMirror: http://mirror, networks: []")

    expected = OwnEngine(mtu=1460, bip="192.168.1.1/24", registry_mirror="http://mirror")
    assert own.own_engine == granted(own, "golang:1.22").own_engine == expected
    assert server(engines % "runType: dod").own_engine is None
    [problem] = problems(engines % "mtu: 1460")
    assert problem.endswith("apiServer.dockerConfigPerOperatingSystem.linux.runType: must be dind or dod")


def test_images_of_the_reference_are_trusted_unless_the_file_says_otherwise() -> None:
    assert server("credentials: []").trusted_images == BY_DEFAULT
    assert server("clearDefaultTrustedImages: true").trusted_images == ()

    own = server("trustedImages: [{path: extensions/docker}]").trusted_images
    assert [image.run_docker for image in own if image.path == "extensions/docker"] == [False]
    assert len(own) == len(BY_DEFAULT)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("trustedImage: []", "config.yaml:1:1: trustedImage: unknown key; did you mean 'trustedImages'?"),
        ("credentials:\n- type: x", "config.yaml:2:3: credentials[0].name: missing"),
        ("trustedImages:\n- runDocker: true", "config.yaml:2:3: trustedImages[0].path: missing"),
        (
            "trustedImages:\n- path: registry:5000/a/b:1",
            "config.yaml:2:3: trustedImages[0].path: images are trusted by name, whatever their tag or digest; write",
        ),
        (
            "trustedImages:\n- {path: a/b, runDocker: please}",
            "config.yaml:2:26: trustedImages[0].runDocker: neither true nor false; write it without quotes",
        ),
        (
            "credentials:\n- {name: a, type: b, allowedPipelines: a, whitelistedPipelines: b}",
            "config.yaml:2:43: credentials[0].whitelistedPipelines: the former name of allowedPipelines; keep one",
        ),
        ("credentials: {a: b}", 'config.yaml:1:14: credentials: not a list; begin each item with "- "'),
        ("credentials: [", "config.yaml:2:1: not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, problem: str) -> None:
    assert problems(text)[0].startswith(problem)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert len(problems("credentials: [{name: a}, {type: b}]\ntrustedImages: [{}]")) == 3


@pytest.mark.parametrize("key", ["allowedPipelines", "allowedBranches", "allowedTrustedImages", "whitelistedPipelines"])
def test_a_broken_expression_is_told(key: str) -> None:
    [problem] = problems(f"credentials:\n- {{name: a, type: b, {key}: '('}}")

    assert "'(' is not a valid regular expression" in problem


def test_a_secret_that_no_key_opens_is_told_without_it() -> None:
    other = secrets.encrypt("hunter2-hunter2", key=os.urandom(32))
    [problem] = problems(f"credentials:\n- name: a\n  type: b\n  nested: {{list: [{other}]}}")

    assert problem.startswith("config.yaml:4:19: credentials[0].nested.list[0]: a secret cannot be opened")
    assert other not in problem


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read"):
        load(tmp_path / "missing.yaml", KEY)


GKE = f"""
credentials:
- {{name: production, type: kubernetes-engine, allowedBranches: main, serviceAccountKeyfile: {sealed("hunter2")}}}
- {{name: staging, type: kubernetes-engine, allowedPipelines: "github.com/acme/.+"}}
- {{name: elsewhere, type: kubernetes-engine, whitelistedPipelines: github.com/other/.+}}
- {{name: for-helm, type: kubernetes-engine, allowedTrustedImages: extensions/helm}}
- {{name: registry, type: container-registry, repository: acme, username: u, password: {sealed("p")}}}
- {{name: slack, type: slack-webhook}}
"""


def test_a_job_gets_the_credentials_of_its_images_and_of_registries() -> None:
    assert names(granted(server(GKE), "extensions/gke:stable")) == ["production", "staging", "registry"]


def test_a_job_of_another_branch_gets_no_more_than_it_may_use() -> None:
    assert names(granted(server(GKE), "extensions/gke:stable", branch="feature")) == ["staging", "registry"]


def test_a_job_without_trusted_images_gets_what_images_are_pulled_with() -> None:
    plan = granted(server(GKE), "golang:1.22")

    assert (names(plan), plan.trusted_images) == (["registry"], ())


def test_images_inside_and_beside_stages_count() -> None:
    inner = PlannedStage(name="deploy", image="extensions/helm:stable")
    beside = PlannedService(name="kind", image="bsycorp/kind:v1")

    plan = granted(server(GKE), "", parallel_stages=(inner,), services=(beside,))

    assert [image["path"] for image in plan.trusted_images] == ["extensions/helm", "bsycorp/kind"]
    assert "for-helm" in names(plan)


def test_the_name_of_an_image_is_known_after_its_variables_are_replaced() -> None:
    plan = granted(server(GKE), "extensions/${ESTAFETTE_GIT_BRANCH}:stable", branch="gke")

    assert [image["path"] for image in plan.trusted_images] == ["extensions/gke"]


def test_secrets_are_sealed_for_the_job_alone() -> None:
    [production, *_] = granted(server(GKE), "extensions/gke").credentials

    sealed_again = production["additionalProperties"]["serviceAccountKeyfile"]
    assert secrets.ENVELOPE.fullmatch(sealed_again)
    with pytest.raises(secrets.SecretError):
        secrets.decrypt(sealed_again, key=KEY, pipeline=PIPELINE)


def test_a_secret_for_other_pipelines_keeps_its_credential_from_this_one() -> None:
    config = server(f"credentials: [{{name: a, type: container-registry, password: {sealed('p', 'github.com/x/y')}}}]")

    assert names(granted(config, "golang:1.22")) == []


def test_the_token_of_the_forge_is_a_credential_of_the_job() -> None:
    plan = granted(server(""), "extensions/github-release:stable", clone_token=sealed("token"))

    assert names(plan) == ["github-api-token"]
    assert names(granted(server(""), "golang:1.22", clone_token=sealed("token"))) == []
    assert names(granted(server(""), "extensions/github-release:stable")) == []
