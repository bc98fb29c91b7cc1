"""Who gets which credentials, beyond what the cases of the reference cover."""

import json
from typing import Any

import pytest
from estafette_common.manifest.model import Service, Stage
from estafette_common.manifest.trust import Credential, TrustedImage, files, granted, images_of, path_of, trusted, used

GKE = TrustedImage(path="extensions/gke", injected_credential_types=("kubernetes-engine",))


def credential(**properties: object) -> Credential:
    return Credential(name="prod", type="kubernetes-engine", additional_properties=dict(properties))


def told(given: Credential, variables: dict[str, str], opened: str = "") -> dict[str, object]:
    [text] = files(
        "extensions/gke:1", [GKE], [given], variables, open_secrets=lambda text: text.replace("SEALED", opened)
    ).values()
    [found] = json.loads(text)
    return dict(found["additionalProperties"])


def test_a_dollar_in_a_secret_of_a_credential_stays_what_it_is() -> None:
    assert told(credential(password="SEALED"), {"ESTAFETTE_A": "x"}, "pa$word$ESTAFETTE_A") == {
        "password": "pa$word$ESTAFETTE_A"
    }


def test_the_name_of_a_branch_cannot_become_more_of_a_credential() -> None:
    branch = 'x","host":"evil'

    assert told(credential(project="${ESTAFETTE_GIT_BRANCH}"), {"ESTAFETTE_GIT_BRANCH": branch}) == {"project": branch}


def test_secrets_are_opened_wherever_they_stand_in_a_credential() -> None:
    assert told(credential(nested={"list": ["SEALED", 1, None]}), {}, 'a"b') == {"nested": {"list": ['a"b', 1, None]}}


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("extensions/gke", "extensions/gke"),
        ("extensions/gke:1.2", "extensions/gke"),
        ("extensions/gke@sha256:abc", "extensions/gke"),
        ("registry:5000/extensions/gke", "registry:5000/extensions/gke"),
        ("registry:5000/extensions/gke:1@sha256:abc", "registry:5000/extensions/gke"),
    ],
)
def test_an_image_is_known_by_its_name(image: str, path: str) -> None:
    assert path_of(image) == path


@pytest.mark.parametrize("image", ["evil/extensions/gke", "registry:5000/extensions/gke", "extensions/gke-evil", ""])
def test_another_image_of_a_similar_name_is_not_trusted(image: str) -> None:
    assert trusted(image, [GKE]) is None
    assert files(image, [GKE], [credential()], {}, open_secrets=str) == {}


def test_images_inside_and_beside_a_stage_count() -> None:
    inner = Stage(name="a", services=(Service(name="s", image="extensions/gke:1"),))

    images = images_of([Stage(name="wrapper", parallel_stages=(inner,))])
    assert used([GKE], images, pipeline="github.com/acme/shop") == (GKE,)


@pytest.mark.parametrize(
    ("restricted", "expected"),
    [
        ({}, True),
        ({"allowed_pipelines": "github.com/acme/.+"}, True),
        ({"allowed_pipelines": "github.com/acme"}, False),
        ({"allowed_pipelines": "("}, False),
        ({"allowed_branches": "main|release"}, True),
        ({"allowed_branches": "mai"}, False),
        ({"allowed_trusted_images": "extensions/helm"}, False),
    ],
)
def test_a_credential_is_granted_where_all_that_restricts_it_allows_it(
    restricted: dict[str, Any], expected: bool
) -> None:
    given = Credential(name="prod", type="kubernetes-engine", **restricted)

    assert (granted([given], [GKE], pipeline="github.com/acme/shop", branch="main") == (given,)) is expected
