import json
from typing import Any

import pytest
from estafette_common.jobs.plan import Plan
from estafette_common.manifest.secrets import SecretError, encrypt
from estafette_local import plans
from job_dispatcher.registries import logins, server

KEY = bytes(range(32))


def plan(*credentials: dict[str, Any]) -> Plan:
    return plans.plan(credentials=credentials)


def credential(repository: str = "", *, kind: str = "container-registry-pull", key: bytes = KEY) -> dict[str, Any]:
    texts = {"repository": repository, "username": "bob", "password": encrypt("hunter2", key=key)}
    return {"name": f"one-{repository}", "type": kind, "additionalProperties": texts}


def test_every_credential_to_pull_with_becomes_a_login_of_its_registry() -> None:
    found = json.loads(logins(plan(credential(), credential("gcr.io/acme"), credential("registry:5000")), key=KEY))

    assert set(found["auths"]) == {"https://index.docker.io/v1/", "gcr.io/acme", "registry:5000"}
    assert {(each["username"], each["password"]) for each in found["auths"].values()} == {("bob", "hunter2")}
    assert {each["auth"] for each in found["auths"].values()} == {"Ym9iOmh1bnRlcjI="}


def test_credentials_of_other_types_are_for_stages_only() -> None:
    assert logins(plan(credential(kind="container-registry"), credential(kind="kubernetes-engine")), key=KEY) == ""


def test_a_credential_that_cannot_be_opened_is_an_error_that_does_not_show_it() -> None:
    with pytest.raises(SecretError) as caught:
        logins(plan(credential(key=bytes(32))), key=KEY)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "called"),
    [
        ("", "https://index.docker.io/v1/"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("acme", "docker.io/acme"),
        ("docker.io/acme", "docker.io/acme"),
        ("index.docker.io/acme/shop", "docker.io/acme/shop"),
        ("gcr.io", "gcr.io"),
        ("gcr.io/acme/", "gcr.io/acme"),
        ("localhost/acme", "localhost/acme"),
        ("registry:5000/acme", "registry:5000/acme"),
    ],
)
def test_a_place_is_called_as_kubernetes_matches_images_with_it(place: str, called: str) -> None:
    assert server(place) == called
