"""Which tags of an image are updates."""

import pytest
from estafette_common.triggers import docker_policies, tag_versions
from estafette_common.triggers.docker_policies import ImageTag, PolicyError, newest, parse, repository_of
from hypothesis import given
from hypothesis import strategies as st

TAGS = st.one_of(
    st.from_regex(r"\Av?[0-9]{1,3}(\.[0-9]{1,3}){0,2}(-(rc|alpine|[0-9])(\.[0-9]{1,2})?)?\Z"), st.text(max_size=12)
)
VERSIONS = st.from_regex(r"\Av?[0-9]{1,3}(\.[0-9]{1,3}){1,2}(-(rc|alpine|[0-9])(\.[0-9]{1,2})?)?\Z")
POLICIES = st.sampled_from([*docker_policies.LEVELS, "force", "never", "glob:1*", "regexp:^v?(?P<compare>[0-9]+)"])


def updates(policy: str, known: str, found: str, *, match_tag: bool = False, match_pre_release: bool = True) -> bool:
    parsed = parse(policy, match_tag=match_tag, match_pre_release=match_pre_release)
    return not parsed.why_no_update(ImageTag(known), ImageTag(found))


@pytest.mark.parametrize(
    ("policy", "taken"),
    [
        ("all", ["1.2.4", "1.3.0", "2.0.0", "1.3.0-rc.1"]),
        ("major", ["1.2.4", "1.3.0", "2.0.0"]),
        ("minor", ["1.2.4", "1.3.0"]),
        ("patch", ["1.2.4"]),
        ("never", []),
    ],
)
def test_a_level_takes_higher_versions_up_to_its_part(policy: str, taken: list[str]) -> None:
    tags = ["1.2.2", "1.2.3", "1.2.4", "1.3.0", "2.0.0", "1.3.0-rc.1", "latest", "3"]

    assert [tag for tag in tags if updates(policy, "1.2.3", tag)] == taken


def test_the_pre_release_stays_the_same_unless_it_need_not() -> None:
    assert updates("minor", "1.21-alpine", "1.22-alpine")
    assert not updates("minor", "1.21-alpine", "1.22")
    assert updates("minor", "1.21-alpine", "1.22", match_pre_release=False)
    assert updates("all", "1.21-alpine", "1.22")


def test_tags_are_looser_than_semantic_versions() -> None:
    assert updates("minor", "v1.2", "1.3.0")
    assert updates("minor", "2024.01.05", "2024.02.01")
    assert updates("major", "1", "2.0")
    assert not updates("major", "1", "2")


def test_any_version_is_an_update_of_latest() -> None:
    assert updates("patch", "latest", "0.1")
    assert not updates("patch", "stable", "0.1")


def test_force_takes_any_change_but_no_lower_version() -> None:
    assert updates("force", "main", "dev")
    assert updates("force", "main", "1.0")
    assert updates("force", "1.0", "main")
    assert not updates("force", "1.1", "1.0")


def test_force_with_the_same_tag_waits_for_another_image() -> None:
    policy = parse("force", match_tag=True)

    assert not policy.why_no_update(ImageTag("main", "sha256:a"), ImageTag("main", "sha256:b"))
    assert policy.why_no_update(ImageTag("main", "sha256:a"), ImageTag("main", "sha256:a"))
    assert policy.why_no_update(ImageTag("main", "sha256:a"), ImageTag("dev", "sha256:b"))
    assert policy.why_no_update(ImageTag("main"), ImageTag("main", "sha256:b"))
    assert not policy.why_no_update(ImageTag("main", "sha256:a"), ImageTag("main")), "a webhook without a digest"


def test_a_glob_takes_what_matches_and_sorts_later() -> None:
    assert updates("glob:build-*", "build-1", "build-2")
    assert not updates("glob:build-*", "build-2", "build-1")
    assert not updates("glob:build-*", "build-1", "test-2")
    assert not updates("glob:v1.*", "v1.0", "v1x9"), "a point is no wildcard"


def test_a_regexp_orders_by_its_group_compare() -> None:
    policy = "regexp:^(main|dev)-(?P<compare>[0-9]+)$"

    assert updates(policy, "main-9", "dev-10"), "numbers by their value"
    assert not updates(policy, "main-10", "dev-9")
    assert not updates(policy, "main-9", "test-10")
    assert updates("regexp:^feature_.*$", "feature_a", "feature_b")


@pytest.mark.parametrize("policy", ["", "minor:x", "semver", "glob:", "regexp:", "regexp:(", r"regexp:\C", "Force"])
def test_a_policy_that_is_not_understood_says_so(policy: str) -> None:
    with pytest.raises(PolicyError, match=r"docker\.policy"):
        parse(policy)


@pytest.mark.parametrize(
    ("policy", "known", "tags", "expected"),
    [
        ("minor", "1.2.0", ["1.2.0", "1.10.0", "1.9.0", "2.0.0"], "1.10.0"),
        ("minor", "1.2.0", ["1.2.0", "1.1.0", "latest"], None),
        ("major", "1.2.0", ["1.3.0-rc", "1.2.0"], None),
        ("force", "main", ["dev", "1.0", "1.1", "main"], "1.1"),
        ("force", "1.1", ["dev", "1.0", "1.1"], None),
        ("glob:b-*", "b-1", ["b-1", "b-3", "a-9", "b-2"], "b-3"),
        (r"regexp:^b-(?P<compare>\d+)$", "b-9", ["b-9", "b-10", "b-1"], "b-10"),
        ("never", "1.0", ["2.0"], None),
    ],
)
def test_the_newest_update_of_a_list_is_taken(policy: str, known: str, tags: list[str], expected: str | None) -> None:
    assert newest(parse(policy), ImageTag(known), tags) == expected


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("golang", "docker.io/library/golang"),
        ("acme/base", "docker.io/acme/base"),
        ("index.docker.io/golang", "docker.io/library/golang"),
        ("quay.io/acme/base", "quay.io/acme/base"),
        ("localhost/base", "localhost/base"),
        ("registry:5000/base", "registry:5000/base"),
    ],
)
def test_an_image_has_one_full_name(image: str, full: str) -> None:
    assert repository_of(image) == full


def test_pre_releases_are_ordered_as_semver_says() -> None:
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    ordered += ["1.0.0-rc.1", "1.0.0"]
    versions = [tag_versions.parse(tag) for tag in reversed(ordered)]

    assert sorted(versions, key=lambda version: version.order if version else ()) == versions[::-1]


@given(VERSIONS, VERSIONS, VERSIONS)
def test_versions_have_a_total_order(one: str, two: str, three: str) -> None:
    first, second, third = (tag_versions.parse(tag) for tag in (one, two, three))
    assert first
    assert second
    assert third
    assert (first.order < second.order) + (first.order == second.order) + (first.order > second.order) == 1
    assert not first.order <= second.order <= third.order or first.order <= third.order


@given(POLICIES.filter(lambda policy: policy != "force"), TAGS, TAGS)
def test_of_two_tags_one_at_most_updates_the_other(policy: str, one: str, other: str) -> None:
    assert not (updates(policy, one, other) and updates(policy, other, one))


@given(VERSIONS, VERSIONS)
def test_a_narrow_level_takes_nothing_that_a_wide_one_refuses(known: str, found: str) -> None:
    taken = [updates(level, known, found) for level in ("patch", "minor", "major", "all")]

    assert taken == sorted(taken)


@given(POLICIES, TAGS)
def test_a_tag_is_no_update_of_itself(policy: str, tag: str) -> None:
    digest = "sha256:a"

    assert parse(policy).why_no_update(ImageTag(tag, digest), ImageTag(tag, digest))


@given(POLICIES, TAGS, st.lists(TAGS, max_size=8))
def test_the_newest_is_an_update_and_leaves_none_behind(policy: str, known: str, tags: list[str]) -> None:
    found = newest(parse(policy), ImageTag(known), tags)

    if found is not None:
        assert updates(policy, known, found)
    if found is not None and policy != "force":
        assert newest(parse(policy), ImageTag(found), [tag for tag in tags if updates(policy, known, tag)]) is None
