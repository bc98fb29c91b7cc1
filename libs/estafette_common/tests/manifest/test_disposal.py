import pytest
from estafette_common.jobs.plan import After, RunNamespace
from estafette_common.manifest.disposal import planned_namespace
from estafette_common.manifest.reading import check, read

STAGES = "stages: {build: {image: 'golang:1.22'}}"


def namespace(text: str) -> RunNamespace | None:
    return planned_namespace(read(f"{text}\n{STAGES}").run_namespace)


@pytest.mark.parametrize("text", ["", "runNamespace:", "runNamespace: {disposal: {after: never}}"])
def test_a_build_has_no_namespace_unless_the_manifest_asks_for_one(text: str) -> None:
    assert namespace(text) is None


def test_a_namespace_is_removed_at_once_by_default() -> None:
    assert namespace("runNamespace: {ephemeral: true}") == RunNamespace(
        scale_to_zero=True, after=After.ALWAYS, ttl=0.0, keep_last=0
    )


def test_a_manifest_may_say_when_it_is_removed() -> None:
    text = "runNamespace: {ephemeral: true, scaleToZero: false, disposal: {after: reported, ttl: 24h, keepLast: 3}}"

    assert namespace(text) == RunNamespace(scale_to_zero=False, after=After.REPORTED, ttl=24 * 60 * 60.0, keep_last=3)


@pytest.mark.parametrize(
    ("disposal", "fault"),
    [
        (
            "{after: soon}",
            "runNamespace.disposal.after: 'soon' is nothing to wait for; there are always, success, reported, never",
        ),
        ("{ttl: tomorrow}", "runNamespace.disposal.ttl: 'tomorrow' is no duration; write one such as 90s or 24h"),
        ("{ttl: -1h}", "runNamespace.disposal.ttl: '-1h' is no duration; write one such as 90s or 24h"),
        ("{keepLast: -1}", "runNamespace.disposal.keepLast: less than none; write 0 or more"),
    ],
)
def test_what_is_wrong_is_an_error(disposal: str, fault: str) -> None:
    found = check(f"runNamespace: {{disposal: {disposal}}}\n{STAGES}")

    assert [f"{each.path}: {each.message}" for each in found.findings] == [fault]
