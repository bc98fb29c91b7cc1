import base64
from datetime import UTC, datetime

import pytest
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.manifest import secrets, versions, when
from estafette_common.manifest.environment import dns_safe, expand, stage_variables, upper_snake
from estafette_common.manifest.model import Custom, Semver
from estafette_common.manifest.model import Version as Numbering

KEY = b"0123456789abcdef0123456789abcdef"
VARIABLES = {"status": "succeeded", "branch": "feature/x' || true || '", "ESTAFETTE_GIT_BRANCH": "main"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("status == 'succeeded'", True),
        ('status == "failed"', False),
        ("status == 'failed' || status == 'succeeded'", True),
        ("status == 'succeeded' && branch == 'main'", False),
        ("!(status == 'failed')", True),
        ("branch =~ '^feature/'", True),
        ("branch !~ 'feature'", False),
        ("status in ('failed', 'succeeded')", True),
        ("'${ESTAFETTE_GIT_BRANCH}' == 'main'", True),
        ("$ESTAFETTE_GIT_BRANCH == 'main'", True),
        ("branch == 'main'", False),
        ("1 < 2", True),
    ],
)
def test_an_expression_holds_or_not(expression: str, expected: bool) -> None:
    assert when.evaluate(expression, VARIABLES) is expected


@pytest.mark.parametrize(
    "expression", ["", "status", "status = 'x'", "stat == 'x'", "'a' && true", "branch =~ '('", "1 < 'a'"]
)
def test_a_broken_expression_is_told(expression: str) -> None:
    with pytest.raises(when.WhenError):
        when.evaluate(expression, VARIABLES)


@pytest.mark.parametrize(
    ("version", "branch", "expected"),
    [
        (Semver(), "main", "0.0.7"),
        (Semver(major=1, minor=2), "Feature/A+B", "1.2.7-feature-a-b"),
        (Semver(), "123-fix", "0.0.7-branch-123-fix"),
        (Semver(release_branch=("release/.+",)), "release/1", "0.0.7"),
        (Semver(release_branch=("(",)), "main", "0.0.7-main"),
        (Custom(), "main", "abcdef0123"),
        (Custom(label_template="{{ branch }}-{{auto}}"), "main", "main-7"),
    ],
)
def test_a_version_is_computed(version: Semver | Custom, branch: str, expected: str) -> None:
    numbering = Numbering(semver=version) if isinstance(version, Semver) else Numbering(custom=version)

    assert versions.compute(numbering, counter=7, branch=branch, revision="abcdef0123").version == expected


def test_a_secret_survives_its_envelope() -> None:
    envelope = secrets.encrypt("pa$$word", key=KEY)

    assert secrets.decrypt_all(f"a {envelope} b", key=KEY, pipeline="github.com/acme/shop") == "a pa$$word b"
    assert secrets.mask(f"a {envelope}") == "a ***"


def test_a_secret_is_resealed_with_another_key() -> None:
    other = bytes(32)
    resealed = secrets.reseal(secrets.encrypt("x", key=KEY), key=KEY, new_key=other, pipeline="p")

    assert secrets.plain_values(resealed, key=other, pipeline="p") == ["x"]
    with pytest.raises(secrets.SecretError):
        secrets.plain_values(resealed, key=KEY, pipeline="p")


@pytest.mark.parametrize("payload", ["a", "a.b", "AAAA.AAAA", "a.b.c.d", "AAAAAAAAAAAAAAAA.AAAA"])
def test_a_broken_envelope_is_told_without_its_content(payload: str) -> None:
    with pytest.raises(secrets.SecretError) as caught:
        secrets.decrypt_all(f"estafette.secret({payload})", key=KEY, pipeline="p")

    assert payload not in str(caught.value).replace("a secret", "").split() or payload == "a"


def test_a_jobs_key_opens_for_its_job_alone() -> None:
    sealed = secrets.seal_key(bytes(32), secret_key=KEY, job_id="1")

    assert secrets.unseal_key(sealed, secret_key=KEY, job_id="1") == bytes(32)
    with pytest.raises(secrets.SecretError):
        secrets.unseal_key(sealed, secret_key=KEY, job_id="2")


@pytest.mark.parametrize("text", ["", "x", base64.b64encode(b"short").decode()])
def test_a_key_of_the_wrong_size_is_refused(text: str) -> None:
    with pytest.raises(secrets.SecretError):
        secrets.parse_key(text)


def test_names_are_made_safe() -> None:
    assert (upper_snake("HTTPServer"), upper_snake("userID"), upper_snake("-x-")) == ("HTTP_SERVER", "USER_ID", "_X_")
    assert dns_safe("Feature/ABC_1") == "feature-abc-1"


def test_only_our_references_are_expanded() -> None:
    assert expand("$ESTAFETTE_A ${ESTAFETTE_B} $HOME $$ $5", {"ESTAFETTE_A": "a"}) == "a  ${HOME} $$ $5"


def test_the_stage_wins_over_the_manifest_and_secrets_stay_whole() -> None:
    stage = PlannedStage(
        name="build", image="x", env={"A": "stage", "TOKEN": secrets.encrypt("pa$ESTAFETTE_X", key=KEY)}
    )
    plan = Plan(
        kind=Kind.BUILD,
        job_id="1",
        repository=Repository(source="github.com", owner="acme", name="shop"),
        branch="main",
        revision="c" * 40,
        clone_url="file:///x",
        version=Version(version="1.0.7", counter=7),
        labels={"app-name": "shop"},
        env={"A": "manifest", "B": "${ESTAFETTE_BUILD_VERSION}"},
        stages=(stage,),
    )

    variables = stage_variables(
        plan,
        stage,
        status="succeeded",
        started_at=datetime(2026, 11, 20, tzinfo=UTC),
        open_secrets=lambda text: secrets.decrypt_all(text, key=KEY, pipeline="github.com/acme/shop"),
    )

    assert (variables["A"], variables["B"], variables["TOKEN"]) == ("stage", "1.0.7", "pa$ESTAFETTE_X")
    assert variables["ESTAFETTE_LABEL_APP_NAME"] == "shop"
    assert variables["ESTAFETTE_STAGE_NAME"] == "build"
    assert variables["ESTAFETTE_BUILD_DATETIME"] == "2026-11-20T00:00:00Z"
