import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.manifest.environment import dns_safe, expand, job_variables, stage_variables, upper_snake
from hypothesis import example, given
from hypothesis import strategies as st

BUILD = PlannedStage(name="build", image="golang:1.22")
AT = datetime(2026, 11, 20, 23, 5, 6, 789, tzinfo=UTC)

PLAN = Plan(
    kind=Kind.BUILD,
    job_id="42",
    repository=Repository(source="github.com", owner="acme", name="shop"),
    branch="Feature/Login_1",
    revision="c" * 40,
    clone_url="https://github.com/acme/shop.git",
    version=Version(version="1.2.7-feature", major=1, minor=2, patch="7", label="feature", counter=7),
    labels={"appGroup": "shop", "a.b": "c"},
    stages=(BUILD,),
    server_url="https://ci.example.com",
)


def variables_of(plan: Plan, stage: PlannedStage = BUILD) -> dict[str, str]:
    return stage_variables(plan, stage, status="succeeded", started_at=AT, open_secrets=lambda text: text)


def test_a_job_is_told_what_it_is_about() -> None:
    variables = job_variables(PLAN, status="failed", started_at=AT)

    assert (
        variables.items()
        >= {
            "ESTAFETTE_GIT_SOURCE": "github.com",
            "ESTAFETTE_GIT_OWNER": "acme",
            "ESTAFETTE_GIT_NAME": "shop",
            "ESTAFETTE_GIT_FULLNAME": "acme/shop",
            "ESTAFETTE_GIT_BRANCH": "Feature/Login_1",
            "ESTAFETTE_GIT_BRANCH_DNS_SAFE": "feature-login-1",
            "ESTAFETTE_GIT_REVISION": "c" * 40,
            "ESTAFETTE_BUILD_ID": "42",
            "ESTAFETTE_BUILD_VERSION": "1.2.7-feature",
            "ESTAFETTE_BUILD_VERSION_MAJOR": "1",
            "ESTAFETTE_BUILD_VERSION_MINOR": "2",
            "ESTAFETTE_BUILD_VERSION_PATCH": "7",
            "ESTAFETTE_BUILD_VERSION_LABEL": "feature",
            "ESTAFETTE_BUILD_DATETIME": "2026-11-20T23:05:06Z",
            "ESTAFETTE_BUILD_STATUS": "failed",
            "ESTAFETTE_CI_SERVER_BASE_URL": "https://ci.example.com",
            "ESTAFETTE_LABEL_APP_GROUP": "shop",
            "ESTAFETTE_LABEL_A_B": "c",
        }.items()
    )


def test_the_counter_has_the_name_of_the_reference() -> None:
    assert job_variables(PLAN, status="succeeded", started_at=AT)["ESTAFETTE_BUILD_CURRENT_COUNTER"] == "7"


def test_a_custom_version_has_no_parts() -> None:
    plan = PLAN.model_copy(update={"version": Version(version="abc", counter=7)})

    names = job_variables(plan, status="succeeded", started_at=AT).keys()

    assert not names & {f"ESTAFETTE_BUILD_VERSION_{part}" for part in ("MAJOR", "MINOR", "PATCH", "LABEL")}


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.BOT])
def test_only_a_build_has_the_id_of_a_build(kind: Kind) -> None:
    plan = PLAN.model_copy(update={"kind": kind})

    assert "ESTAFETTE_BUILD_ID" not in job_variables(plan, status="succeeded", started_at=AT)


def test_the_time_is_told_in_utc() -> None:
    there = AT.astimezone(timezone(timedelta(hours=2)))

    variables = job_variables(PLAN, status="succeeded", started_at=there)

    assert variables["ESTAFETTE_BUILD_DATETIME"] == "2026-11-20T23:05:06Z"


def test_the_stage_wins_over_the_manifest_and_the_manifest_over_the_job() -> None:
    plan = PLAN.model_copy(update={"env": {"A": "manifest", "B": "manifest", "ESTAFETTE_GIT_NAME": "manifest"}})
    stage = BUILD.model_copy(update={"env": {"A": "stage"}})

    variables = variables_of(plan, stage)

    assert (variables["A"], variables["B"], variables["ESTAFETTE_GIT_NAME"]) == ("stage", "manifest", "manifest")


def test_variables_of_the_manifest_are_not_seen_by_references() -> None:
    env = {"ESTAFETTE_GIT_NAME": "other", "ESTAFETTE_MINE": "x", "A": "${ESTAFETTE_GIT_NAME}/${ESTAFETTE_MINE}"}

    assert variables_of(PLAN.model_copy(update={"env": env}))["A"] == "shop/"


def test_secrets_are_opened_after_references_are_replaced() -> None:
    seen = []
    stage = BUILD.model_copy(update={"env": {"A": "${ESTAFETTE_GIT_NAME}:SECRET"}})

    def open_secrets(text: str) -> str:
        seen.append(text)
        return text.replace("SECRET", "$ESTAFETTE_GIT_NAME")

    variables = stage_variables(PLAN, stage, status="succeeded", started_at=AT, open_secrets=open_secrets)

    assert "shop:SECRET" in seen
    assert variables["A"] == "shop:$ESTAFETTE_GIT_NAME"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$ESTAFETTE_A-${ESTAFETTE_A}", "a-a"),
        ("${ESTAFETTE_A}b", "ab"),
        ("$ESTAFETTE_Ab", ""),
        ("${ESTAFETTE_A", "${ESTAFETTE_A"),
        ("${ESTAFETTE_A:-x}", "${ESTAFETTE_A:-x}"),
        ("$HOME ${HOME:-x} $$ $1 $", "${HOME} ${HOME:-x} $$ $1 $"),
        ("pa$$word $$ESTAFETTE_A", "pa$$word $$ESTAFETTE_A"),
        ("$estafette_a", "${estafette_a}"),
        ("$ESTAFETTE_B", "$ESTAFETTE_A"),
    ],
)
def test_only_our_references_are_replaced_and_only_once(text: str, expected: str) -> None:
    assert expand(text, {"ESTAFETTE_A": "a", "ESTAFETTE_B": "$ESTAFETTE_A", "HOME": "never"}) == expected


@given(st.text(st.characters(exclude_characters="$")))
def test_a_text_without_references_stays_as_it_is(text: str) -> None:
    assert expand(text, {"ESTAFETTE_A": "a"}) == text


@given(st.text())
def test_names_of_variables_hold_what_a_shell_knows(name: str) -> None:
    assert re.fullmatch(r"[A-Z0-9_]*", upper_snake(name))


@given(st.text() | st.text("aA1-/", max_size=80))
@example("a" * 62 + "-b")
def test_a_safe_branch_is_a_label_of_dns_or_empty(branch: str) -> None:
    assert re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?", dns_safe(branch))


def test_a_safe_branch_begins_with_a_letter() -> None:
    assert dns_safe("42-fix") == "fix"


@pytest.mark.parametrize("module", ["environment", "secrets"])
def test_a_module_brings_no_parser_along(module: str) -> None:
    loaded = f"import sys, estafette_common.manifest.{module}; print(*{{'lark', 'yaml'}} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
