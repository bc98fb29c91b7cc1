import pytest
from estafette_common.manifest.concurrency import Policy, group_of
from estafette_common.manifest.findings import ManifestError
from estafette_common.manifest.reading import read

STAGES = "stages: {build: {image: busybox}}"


@pytest.mark.parametrize("policy", Policy)
def test_every_policy_can_be_written(policy: Policy) -> None:
    manifest = read(f"concurrency: {{group: deploy, policy: {policy}}}\n{STAGES}")

    assert (manifest.concurrency.group, manifest.concurrency.policy) == ("deploy", policy)


def test_a_manifest_need_not_say_anything() -> None:
    assert read(STAGES).concurrency.policy == ""


@pytest.mark.parametrize(
    ("written", "finding"),
    [
        ("{policy: queue}", "concurrency.policy: no policy; there are queue-all, queue-latest, cancel-superseded, "),
        ("{group: '{{revision}}'}", "concurrency.group: holds something else in double braces than {{branch}}"),
        ("{limit: 3}", "concurrency.limit"),
    ],
)
def test_what_is_written_wrong_is_told(written: str, finding: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(f"concurrency: {written}\n{STAGES}")

    assert any(finding in str(each) for each in caught.value.findings)


@pytest.mark.parametrize(
    ("group", "expected"),
    [("", "feature/x"), ("{{ branch }}", "feature/x"), ("deploy", "deploy"), ("on {{branch}}", "on feature/x")],
)
def test_a_group_may_be_of_each_branch(group: str, expected: str) -> None:
    assert group_of(group, branch="feature/x") == expected
