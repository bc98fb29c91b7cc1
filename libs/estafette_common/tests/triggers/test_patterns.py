"""Patterns in triggers: RE2 on the whole text."""

import time

import pytest
from estafette_common.triggers import patterns
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.text(alphabet=st.characters(), max_size=200)


@pytest.mark.parametrize(
    ("pattern", "text", "selected"),
    [
        ("master|main", "main", True),
        ("master|main", "main2", False),
        ("=~ main", "main", True),
        ("!~main", "dev", True),
        ("!~ master|main", "master", False),
        (" !~ main", "dev", False),
        ("", "", True),
        ("", "x", False),
        ("Main", "main", False),
        ("(?i)MAIN", "main", True),
        ("main", "main\n", False),
        (r"\d", "٣", False),
    ],
)
def test_a_pattern_selects_whole_texts(pattern: str, text: str, selected: bool) -> None:
    assert patterns.selects(pattern, text) is selected


@pytest.mark.parametrize("pattern", ["(", "!~ (", "(?!main).*", r"(a)\1", "a{1001}", r"\C+", "\ud800"])
def test_what_go_refuses_is_broken(pattern: str) -> None:
    with pytest.raises(patterns.PatternError):
        patterns.selects(pattern, "main")


def test_a_quoted_text_may_hold_any_escape() -> None:
    assert patterns.whole(r"\Qa\C\E", r"a\C")


def test_time_is_linear_in_the_text() -> None:
    began = time.perf_counter()

    assert not patterns.whole("(a+)+", "a" * 50_000 + "b")

    assert time.perf_counter() - began < 1


@given(pattern=TEXTS, text=TEXTS)
def test_the_opposite_of_a_pattern_selects_all_others(pattern: str, text: str) -> None:
    try:
        selected = patterns.selects("=~" + pattern, text)
    except patterns.PatternError:
        with pytest.raises(patterns.PatternError):
            patterns.selects("!~" + pattern, text)
    else:
        assert patterns.selects("!~" + pattern, text) is not selected
