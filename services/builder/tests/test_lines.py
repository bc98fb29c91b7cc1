import pytest
from builder.lines import LONGEST, Lines
from builder.masking import Masker
from hypothesis import given
from hypothesis import strategies as st


def split(data: bytes, *, at: list[int], secrets: tuple[str, ...] = ()) -> list[str]:
    """Return the lines of data that arrives in pieces."""
    lines, found = Lines(Masker(secrets)), []
    for start, end in zip([0, *at], [*at, len(data)], strict=True):
        found += lines.feed(data[start:end])
    return found + lines.rest()


@given(st.lists(st.text(st.characters(exclude_characters="\r\n")), max_size=8), st.data())
def test_lines_are_the_same_however_they_arrive(texts: list[str], data: st.DataObject) -> None:
    printed = "".join(f"{text}\n" for text in texts).encode()
    places = sorted(data.draw(st.lists(st.integers(0, len(printed)), max_size=6)))

    assert split(printed, at=places) == [text.encode().decode(errors="replace") for text in texts]


def test_the_line_end_of_windows_is_one_even_when_it_arrives_in_two_pieces() -> None:
    assert split(b"one\r\ntwo\r\n", at=[4]) == ["one", "two"]


def test_a_carriage_return_within_a_line_stays() -> None:
    assert split(b"10%\r20%\n", at=[]) == ["10%\r20%"]


def test_a_last_line_without_an_end_is_kept() -> None:
    assert split(b"one\ntwo", at=[]) == ["one", "two"]


def test_an_empty_line_is_a_line() -> None:
    assert split(b"\n\n", at=[1]) == ["", ""]


def test_what_is_not_utf_8_is_replaced() -> None:
    assert split(b"caf\xe9\n", at=[]) == ["caf\ufffd"]


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
    masked = "".join(map(Masker([secret, "hunter2"]), pieces))

    assert masked.strip("ab") == "***"


def test_a_character_where_a_line_is_split_stays_whole() -> None:
    assert "".join(split(b"a" * (LONGEST - 1) + "é\n".encode(), at=[])).endswith("aé")
