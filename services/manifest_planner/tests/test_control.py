"""What an operator lets be built and released."""

import pytest
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.model import Release
from estafette_common.manifest.reading import read as manifest_of
from manifest_planner import control
from manifest_planner.config import ConfigError
from manifest_planner.config import read as config_of

SHOP = Repository(source="github.com", owner="acme", name="shop")
AT_BITBUCKET = Repository(source="bitbucket.org", owner="acme", name="shop")
ELSEWHERE = Repository(source="git.example.com", owner="acme", name="shop")


def release(name: str = "production", stage: str = "image: extensions/gke:stable") -> Release:
    build = "stages: {build: {image: busybox:1, commands: [make]}}"
    return manifest_of(f"{build}\nreleases: {{{name}: {{stages: {{deploy: {{{stage}}}}}}}}}").releases[0]


@pytest.mark.parametrize(
    ("lists", "refused"),
    [
        ({}, False),
        ({"blocked": ["shop"]}, True),
        ({"blocked": ["acme/shop"]}, True),
        ({"blocked": ["other/shop", "shopping"]}, False),
        ({"allowed": ["shop"]}, False),
        ({"allowed": ["acme/shop"]}, False),
        ({"allowed": ["acme/other"]}, True),
        ({"allowed": ["shop"], "blocked": ["shop"]}, True),
    ],
)
def test_repositories_are_built_by_the_lists_of_their_forge(lists: dict[str, list[str]], refused: bool) -> None:
    at_github = control.read({"github": lists})
    at_bitbucket = control.read({"bitbucket": {name: {"repos": repos} for name, repos in lists.items()}})

    assert bool(control.why_not_built(at_github, SHOP)) == refused
    assert bool(control.why_not_built(at_bitbucket, AT_BITBUCKET)) == refused
    assert control.why_not_built(at_github, AT_BITBUCKET) == ""
    assert control.why_not_built(at_github, ELSEWHERE) == ""


def test_the_case_of_a_name_goes_round_no_list() -> None:
    asked_for = Repository(source="GitHub.com", owner="Acme", name="SHOP")
    blocked = control.read({"github": {"blocked": ["acme/Shop"]}})
    restricted = {"repositories": {"acme/Shop": {"allowed": ["main"]}}, "restrictedClusters": ["production"]}

    assert control.why_not_built(blocked, asked_for)
    assert control.why_not_released(control.read({"release": restricted}), asked_for, "feature", release())


@pytest.mark.parametrize(
    ("repositories", "branch", "refused"),
    [
        ({}, "feature", False),
        ({"*": {"allowed": ["main|master"]}}, "main", False),
        ({"*": {"allowed": ["main|master"]}}, "feature", True),
        ({"*": {"blocked": ["feature-.+"]}}, "feature-x", True),
        ({"*": {"blocked": ["feature-.+"]}}, "main", False),
        ({"*": {"allowed": ["main"]}, "shop": {"allowed": ["feature"]}}, "feature", False),
        ({"*": {"allowed": ["main"]}, "acme/shop": {"blocked": ["main"]}}, "main", True),
        ({"other": {"allowed": ["main"]}}, "feature", False),
    ],
)
def test_restricted_clusters_are_released_to_from_branches_that_may(
    repositories: dict[str, dict[str, list[str]]], branch: str, refused: bool
) -> None:
    restricted = control.read({"release": {"repositories": repositories, "restrictedClusters": ["prod.*"]}})
    free = control.read({"release": {"repositories": repositories}})

    assert bool(control.why_not_released(restricted, SHOP, branch, release())) == refused
    assert control.why_not_released(restricted, SHOP, branch, release("staging")) == ""
    assert control.why_not_released(free, SHOP, branch, release()) == ""


@pytest.mark.parametrize(
    "stage",
    [
        "image: extensions/gke:stable, credentials: gke-production",
        "parallelStages: {one: {image: extensions/gke:stable, credentials: gke-production}}",
    ],
)
def test_a_cluster_is_also_what_the_credentials_of_a_stage_name(stage: str) -> None:
    rules = {"repositories": {"*": {"allowed": ["main"]}}, "restrictedClusters": ["production"]}

    refusal = control.why_not_released(control.read({"release": rules}), SHOP, "feature", release("tooling", stage))

    assert refusal == "branch feature of github.com/acme/shop is not allowed to be released to production"


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("buildControl: {github: {alowed: [shop]}}", "unknown field `alowed`"),
        ("buildControl: {release: {restrictedClusters: ['(']}}", "not a valid regular expression"),
        ("buildControl: {bitbucket: {blocked: {projects: [acme]}}}", "list repos"),
        ("buildControl: {github: shop}", "Expected `object`"),
    ],
)
def test_a_section_that_cannot_be_used_is_told_with_its_place(section: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=r"^config\.yaml:1:") as caught:
        config_of(section, bytes(32), name="config.yaml")

    assert "buildControl" in str(caught.value)
    assert problem in str(caught.value)


def test_without_the_section_everything_may_be_built_and_released() -> None:
    assert config_of("credentials: []", bytes(32), name="config.yaml").control == control.EVERYTHING
