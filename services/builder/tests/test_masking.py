import base64

import pytest
from builder.masking import Masker


def test_the_longest_of_secrets_that_begin_alike_is_hidden_whole() -> None:
    assert Masker(["hunter", "hunter-of-dragons"])("a hunter-of-dragons and a hunter") == "a *** and a ***"


def test_each_line_of_a_secret_is_hidden_but_none_of_three_characters() -> None:
    mask = Masker(["-----BEGIN-----\r\nabc\r\nmiddle of a key\r\n"])

    assert mask("-----BEGIN-----") == "***"
    assert mask("middle of a key") == "***"
    assert mask("abc") == "abc"


def test_a_secret_written_with_a_backslash_and_an_n_is_hidden_line_by_line() -> None:
    assert Masker(["first line\\nsecond line"])("second line") == "***"


def test_base64_and_url_encoded_forms_are_hidden() -> None:
    mask = Masker(["pa/ss?word>"])

    assert mask(base64.b64encode(b"pa/ss?word>").decode()) == "***"
    assert mask(base64.urlsafe_b64encode(b"pa/ss?word>").decode()) == "***"
    assert mask("pa%2Fss%3Fword%3E") == "***"


def test_a_secret_of_regular_expression_characters_is_taken_literally() -> None:
    assert Masker(["a.*b+(c"])("a.*b+(c aXXbb") == "*** aXXbb"


def test_nothing_is_hidden_without_secrets() -> None:
    assert Masker(["", "abc"])("abc, as ever") == "abc, as ever"


@pytest.mark.parametrize("secret", ["hunter2-hunter", "hunter2-hunte"])
def test_what_echo_and_base64_make_of_a_secret_is_hidden(secret: str) -> None:
    assert "***" in Masker([secret])(base64.b64encode(f"{secret}\n".encode()).decode())


def test_a_secret_within_what_was_encoded_is_hidden() -> None:
    basic = base64.b64encode(b"user:ghs_0123456789abcdef").decode()

    assert "***" in Masker(["ghs_0123456789abcdef"])(f"Authorization: Basic {basic}")


def test_what_a_secret_in_base64_holds_is_hidden() -> None:
    secret = base64.b64encode(b"first line\nsecond line").decode()

    assert Masker([secret])("second line") == "***"


@pytest.mark.parametrize("before", ["", "1", "12", "123"])
@pytest.mark.parametrize("after", ["", "\n", "4", "45"])
def test_nothing_but_a_character_at_its_ends_is_left_of_a_secret_in_base64(before: str, after: str) -> None:
    secret = "correct-horse-battery-staple"
    encoded = base64.b64encode((before + secret + after).encode()).decode()
    masked = Masker([secret])(encoded)

    assert "***" in masked
    assert len(masked.replace("***", "").rstrip("=")) <= len(before) * 8 // 6 + len(after) * 8 // 6 + 2


@pytest.mark.parametrize("width", [64, 76])
def test_a_long_secret_in_rows_of_base64_is_hidden(width: int) -> None:
    secret = "github_pat_" + "x1Y" * 30
    encoded = base64.b64encode(f"{secret}\n".encode()).decode()
    rows = [encoded[at : at + width] for at in range(0, len(encoded), width)]

    assert {Masker([secret])(row) for row in rows} == {"***"}


def test_a_url_may_be_encoded_in_small_letters_or_with_a_plus() -> None:
    mask = Masker(["pa/ss word"])

    assert [mask(text) for text in ("pa%2fss%20word", "pa%2Fss+word")] == ["***", "***"]


def test_many_secrets_are_hidden() -> None:
    secrets = ["\n".join(f"line {line} of the secret {number}" for line in range(20)) for number in range(20)]

    assert Masker(secrets)("line 19 of the secret 19") == "***"


def test_a_large_secret_is_hidden() -> None:
    secret = "".join(map(str, range(20_000)))

    assert Masker([secret])(f"it is {secret}") == "it is ***"


def test_each_line_of_what_was_printed_at_once_is_hidden_by_itself() -> None:
    mask = Masker(["first line\nsecond line"])

    assert mask.hide(b"first line\nsecond line\nthird \xff line\n") == b"***\n***\nthird \xff line\n"


def test_a_secret_beyond_ascii_is_hidden() -> None:
    assert Masker(["größe-über-alles"])("a größe-über-alles é") == "a *** é"


def test_a_text_with_half_a_surrogate_pair_can_be_masked() -> None:
    assert Masker([])("a\ud800b") == "a?b"
