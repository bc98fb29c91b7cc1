from contextlib import suppress

import pytest
from estafette_common.manifest import when
from hypothesis import given
from hypothesis import strategies as st

VARIABLES = {"status": "succeeded", "branch": "main", "action": "", "server": "estafette", "trigger": ""}
BRANCHES = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["x' || true || '", '" || true || "', "\\"]
)

WORDS = st.lists(
    st.sampled_from(
        [
            "status",
            "branch",
            "'main'",
            '"x"',
            "==",
            "!=",
            "=~",
            "!~",
            "<",
            ">=",
            "&&",
            "||",
            "!",
            "(",
            ")",
            "in",
            ",",
            "true",
            "false",
            "1",
            "2.5",
            "$ESTAFETTE_X",
            "${ESTAFETTE_GIT_BRANCH}",
            "'",
            "\\",
            "$",
            "\n",
            "+",
            "*",
            "~",
            "<<",
            "?",
            ":",
            "9" * 200,
            "é",
        ]
    ),
    max_size=12,
).map(" ".join)


@given(st.text() | WORDS)
def test_any_text_holds_or_does_not_or_is_told(text: str) -> None:
    with suppress(when.WhenError):
        assert isinstance(when.evaluate(text, VARIABLES), bool)


@given(BRANCHES)
def test_the_name_of_a_branch_cannot_rewrite_an_expression(branch: str) -> None:
    variables = VARIABLES | {"branch": branch, "ESTAFETTE_GIT_BRANCH": branch}

    assert when.evaluate("branch == 'main'", variables) is (branch == "main")
    assert when.evaluate("${ESTAFETTE_GIT_BRANCH} == branch", variables)
    assert when.evaluate("branch =~ '^main$'", variables) is (branch == "main")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("false && true || true", True),
        ("true || true && false", True),
        ("!false && !(true && false)", True),
        ("branch == 'it\\'s'", False),
        ("'it\\'s' == \"it's\"", True),
        ("'a\\\\b' =~ 'a.b'", True),
        ("branch in ('main')", True),
        ("branch in ('a', 'b')", False),
        ("'a' < 'b' && 2 >= 2.0 && 1 <= 2 && 2 > 1", True),
        ("status == 'succeeded'\n&& branch == 'main'", True),
        ("$ESTAFETTE_UNKNOWN == ''", True),
        ("branch =~ 'AI'", False),
        ("branch =~ '(?i)AI'", True),
        ("branch == '2021-06-07'", False),
    ],
)
def test_an_expression_holds_or_not(expression: str, expected: bool) -> None:
    assert when.evaluate(expression, VARIABLES) is expected


@pytest.mark.parametrize(
    ("expression", "column"),
    [
        ("status = 'x'", 8),
        ("stat == 'x'", 1),
        ("status == 'x' && stat == 'y'", 18),
        ("status == 'x' &&\n  branch = 'y'", 27),
        ("branch =~ '('", 8),
        ("1 < 'a'", 3),
        ("branch == $HOME", 11),
        ("status == 'x' // why", 16),
    ],
)
def test_an_error_tells_where(expression: str, column: int) -> None:
    with pytest.raises(when.WhenError) as caught:
        when.check(expression)

    assert caught.value.column == column


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "!" * 100_000, "true" + " && true" * 100_000, "((" * 26 + "true" + "))" * 26]
)
def test_an_expression_that_is_too_long_or_too_deep_is_told(text: str) -> None:
    with pytest.raises(when.WhenError):
        when.parse(text)


def test_an_expression_of_the_longest_kind_is_evaluated() -> None:
    assert when.evaluate("true" + " && true" * 249, VARIABLES)
    assert when.evaluate("(" * 50 + "true" + ")" * 50, VARIABLES)


def test_a_regular_expression_takes_linear_time() -> None:
    assert not when.evaluate("branch =~ '^(a+)+$'", VARIABLES | {"branch": "a" * 10_000 + "b"})


def test_an_expression_is_parsed_once() -> None:
    assert when.parse("status == 'once'") is when.parse("status == 'once'")


@pytest.mark.parametrize("expression", ["'${ESTAFETTE_GIT_BRANCH}' == 'main'", '"v-$ESTAFETTE_GIT_BRANCH" == "v-main"'])
def test_references_inside_quotes_stand_for_their_values(expression: str) -> None:
    assert when.evaluate(expression, VARIABLES | {"ESTAFETTE_GIT_BRANCH": "main"})


def test_texts_are_put_together() -> None:
    assert when.evaluate("branch + '-x' == 'main-x'", VARIABLES)


@pytest.mark.parametrize("expression", ["1 == true", "true in (1, 2)"])
def test_a_number_is_never_true(expression: str) -> None:
    assert when.evaluate(expression, VARIABLES) is False


@pytest.mark.parametrize("expression", ["true =~ 'True'", "1 =~ '1.0'"])
def test_only_texts_are_matched(expression: str) -> None:
    with pytest.raises(when.WhenError):
        when.evaluate(expression, VARIABLES)


def test_a_branch_that_utf_8_cannot_hold_is_told() -> None:
    with pytest.raises(when.WhenError):
        when.evaluate("branch =~ 'x'", VARIABLES | {"branch": "\ud800"})


def test_matching_single_bytes_is_refused() -> None:
    with pytest.raises(when.WhenError):
        when.evaluate("branch =~ '^\\\\C$'", VARIABLES)


@pytest.mark.parametrize("expression", ["status ==", "status == 'x' &&", "(status == 'x'"])
def test_an_expression_that_ends_too_early_is_told_so(expression: str) -> None:
    with pytest.raises(when.WhenError, match="ends too early"):
        when.parse(expression)


@pytest.mark.parametrize(
    ("expression", "column"), [("status == 'x' &&\n stat == 'y'", 19), ("status != 'x' &&\n branch =~ '('", 26)]
)
def test_the_place_in_a_later_line_counts_from_the_beginning(expression: str, column: int) -> None:
    with pytest.raises(when.WhenError) as caught:
        when.check(expression)

    assert caught.value.column == column


@pytest.mark.parametrize(
    "expression",
    [" && ".join(["branch != 'x'"] * 60), " && ".join(["(true)"] * 60), f"branch != '{'(' * 60}'"],
)
def test_only_nesting_is_limited(expression: str) -> None:
    assert when.evaluate(expression, VARIABLES)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("status == 'succeeded' ? branch == 'main' : false", True),
        ("false ? false : true ? true : false", True),
        ("true || unknown == 'x'", True),
        ("false && unknown == 'x'", False),
        ("[branch] == 'main'", True),
        ("1 + 2 * 3 == 7", True),
        ("(1 + 2) * 3 == 9 && 2 ** 3 == 8 && 7 % 4 == 3 && 1 - 1 == 0 && -1 < 0", True),
        ("(6 & 3) == 2 && (6 | 1) == 7 && (6 ^ 2) == 4 && 1 << 3 == 8 && 8 >> 2 == 2 && ~0 == -1", True),
        ("branch =~ 'm\\\\.' || !(branch != 'main')", True),
        ("branch ?? 'x' == 'main'", False),
    ],
)
def test_the_operators_of_the_reference_are_there(expression: str, expected: bool) -> None:
    if "??" in expression:
        with pytest.raises(when.WhenError, match="neither true nor false"):
            when.evaluate(expression, VARIABLES)
    else:
        assert when.evaluate(expression, VARIABLES) is expected


@pytest.mark.parametrize(
    "expression",
    [
        "1 / 0 == 1",
        "2 ** 99999 == 1",
        "1 << 64 == 1",
        "1 << -1 == 1",
        "'a' - 'b' == ''",
        "true + true == true",
        "-'a' == 1",
        f"~{'9' * 400} == 1",
        f"{'9' * 300} * {'9' * 300} == 1",
    ],
)
def test_what_cannot_be_calculated_is_told(expression: str) -> None:
    with pytest.raises(when.WhenError):
        when.evaluate(expression, VARIABLES)


@pytest.mark.parametrize(
    ("expression", "column"),
    [
        ("status", 1),
        ("1 < 'a'", 3),
        ("status && true", 1),
        ("branch == 'a' && stat == 'x'", 18),
        ("branch =~ '('", 8),
        ("true || 'a' && true", None),
        ("true ? 'a' : 'b'", 1),
        ("!status", 2),
        (f"1 < {'9' * 400}", 5),
    ],
)
def test_what_can_only_fail_is_found_without_running(expression: str, column: int | None) -> None:
    if column is None:
        when.check(expression)
    else:
        with pytest.raises(when.WhenError) as caught:
            when.check(expression)
        assert caught.value.column == column


@given(WORDS)
def test_what_is_found_without_running_fails_when_it_runs(text: str) -> None:
    try:
        when.check(text)
    except when.WhenError:
        return
    with suppress(when.WhenError):
        assert isinstance(when.evaluate(text, VARIABLES), bool)


def test_an_expression_cannot_exhaust_the_stack() -> None:
    for text in ("1" + "**1" * 600 + " == 1", "-" * 900 + "1 == 1", "true ? " * 280 + "true" + " : true" * 280):
        with pytest.raises(when.WhenError):
            when.evaluate(text[: when.LONGEST], VARIABLES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status == 'succeeded' && branch == 'main' || branch == 'x'", ("status", "branch")),
        ("[action] in (server, 'a')", ("action", "server")),
        ("$ESTAFETTE_A == '1' || '${ESTAFETTE_B}-$ESTAFETTE_C' =~ 'x'", ("ESTAFETTE_A", "ESTAFETTE_B", "ESTAFETTE_C")),
        ("true", ()),
    ],
)
def test_the_variables_of_an_expression_are_named_in_its_order(text: str, expected: tuple[str, ...]) -> None:
    assert when.names(text) == expected
