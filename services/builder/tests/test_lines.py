import tracemalloc

import pytest
from builder.lines import LONGEST, SHOW_EVERY, Lines
from builder.masking import Masker
from hypothesis import given
from hypothesis import strategies as st


def split(data: bytes, *, at: list[int], secrets: tuple[str, ...] = ()) -> list[str]:
    """Return the lines of data that arrives in pieces."""
    lines, found = Lines(Masker(secrets)), []
    for start, end in zip([0, *at], [*at, len(data)], strict=True):
        found += lines.feed(data[start:end], now=0.0)
    return found + lines.rest()


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8")), max_size=8), st.data())
def test_lines_are_the_same_however_they_arrive(texts: list[str], data: st.DataObject) -> None:
    printed = "".join(f"{text}\n" for text in texts).encode()
    places = sorted(data.draw(st.lists(st.integers(0, len(printed)), max_size=6)))

    assert split(printed, at=places) == [text.encode().decode(errors="replace") for text in texts]


def test_the_line_end_of_windows_is_one_even_when_it_arrives_in_two_pieces() -> None:
    assert split(b"one\r\ntwo\r\n", at=[4]) == ["one", "two"]


@pytest.mark.parametrize(
    ("printed", "state"),
    [
        (b"10%\r20%\r100%\n", "100%"),
        (b"10%\r20%\r100%\r\n", "100%"),
        (b"\r10%\r20%\r100%\n", "100%"),
        (b"10%\r20%\r100%\r\r\n", "100%"),
        (b"10%\r20%\r100%\r", "100%"),
        (b"10%\r20%\r100%", "100%"),
        (b"caf\xc3\xa9\r\xe2\x9c\x93 100%\n", "✓ 100%"),
    ],
)
def test_of_a_line_that_is_drawn_over_the_last_state_stays_however_it_arrives(printed: bytes, state: str) -> None:
    assert split(printed, at=[]) == [state]
    assert split(printed, at=list(range(1, len(printed)))) == [state]
    assert {tuple(split(printed, at=[at])) for at in range(1, len(printed))} == {(state,)}


def test_a_line_that_is_drawn_over_for_minutes_shows_a_state_now_and_then() -> None:
    lines, shown = Lines(Masker([])), []
    for second in range(120):
        shown += lines.feed(f"second {second}\r".encode(), now=float(second))

    assert shown[:2] == [f"second {number * SHOW_EVERY:.0f}" for number in (1, 2)]
    assert len(shown) == 119 // SHOW_EVERY
    assert lines.feed(b"done\n", now=120.0) == ["done"]


def test_a_line_that_is_drawn_over_is_shown_no_sooner_because_another_was() -> None:
    lines = Lines(Masker([]))
    lines.feed(b"10%\r", now=0.0)
    lines.feed(b"100%\n", now=1.0)

    assert lines.feed(b"1 of 9\r", now=SHOW_EVERY + 1) == []


def test_a_secret_in_a_state_that_is_shown_is_hidden() -> None:
    lines = Lines(Masker(["hunter2-hunter"]))
    lines.feed(b"hunter2", now=0.0)
    lines.feed(b"-hunter\r", now=0.0)

    assert lines.feed(b"more\r", now=0.0) == []
    assert lines.feed(b"hunter2-hunter\r", now=SHOW_EVERY) == ["***"]


def test_a_line_that_is_drawn_over_a_million_times_takes_no_more_memory_than_its_state() -> None:
    lines = Lines(Masker([]))
    lines.feed(b"x" * 1000 + b"\r", now=0.0)
    tracemalloc.start()
    for _ in range(1000):
        lines.feed(b"x" * 1000 + b"\r", now=0.0)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken < 10_000


def test_a_last_line_without_an_end_is_kept() -> None:
    assert split(b"one\ntwo", at=[]) == ["one", "two"]


def test_an_empty_line_is_a_line() -> None:
    assert split(b"\n\n", at=[1]) == ["", ""]


def test_what_is_not_utf_8_is_replaced() -> None:
    assert split(b"caf\xe9\n", at=[]) == ["caf\ufffd"]


@given(st.binary(max_size=200).map(lambda data: data.replace(b"\r", b"")), st.data())
def test_what_is_not_utf_8_is_the_same_however_it_arrives(printed: bytes, data: st.DataObject) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(printed)), max_size=6)))
    expected = printed.decode(errors="replace").split("\n")

    assert split(printed, at=places) == (expected if expected[-1] else expected[:-1])


def test_a_byte_of_zero_stays() -> None:
    assert split(b"a\0b\n", at=[2]) == ["a\0b"]


@given(st.lists(st.sampled_from(["hunter2-hunter", "x", "\n", "hunter", "é", "\r\n"]), max_size=12), st.data())
def test_a_secret_is_hidden_however_it_arrives(parts: list[str], data: st.DataObject) -> None:
    printed = "".join(parts).encode()
    places = sorted(data.draw(st.lists(st.integers(0, len(printed)), max_size=6)))
    secrets = ("hunter2-hunter", "first\nsecond")

    assert split(printed, at=places, secrets=secrets) == split(printed, at=[], secrets=secrets)
    assert "hunter2" not in "".join(split(printed, at=places, secrets=secrets))


def test_ten_megabytes_without_a_line_end_lose_nothing() -> None:
    data = b"0123456789abcdef" * 655_360
    pieces = split(data + b"\n", at=list(range(50_000, len(data), 50_000)))

    assert "".join(pieces).encode() == data


def test_a_line_that_comes_byte_by_byte_takes_no_longer_the_longer_it_gets() -> None:
    lines = Lines(Masker([]))
    for _ in range(LONGEST):
        assert lines.feed(b".", now=0.0) == []

    assert lines.feed(b"\n", now=0.0) == ["." * LONGEST]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_is_split_and_loses_nothing(end: bytes) -> None:
    data = b"a" * (2 * LONGEST + 3) + end
    pieces = split(data, at=list(range(65536, len(data), 65536)))

    assert "".join(pieces) == "a" * (2 * LONGEST + 3)
    assert max(map(len, pieces)) <= LONGEST


@pytest.mark.parametrize("end", [b"\n", b"b" * 100, b""])
@pytest.mark.parametrize("before", range(LONGEST - 14, LONGEST + 1))
def test_a_secret_where_a_line_is_split_does_not_show(before: int, end: bytes) -> None:
    secret = "hunter2-hunter"
    pieces = split(b"a" * before + secret.encode() + end, at=[before + 7], secrets=(secret, "hunter2"))

    assert "".join(pieces).strip("ab") == "***"


def test_a_character_where_a_line_is_split_stays_whole() -> None:
    assert "".join(split(b"a" * (LONGEST - 1) + "é\n".encode(), at=[])).endswith("aé")
