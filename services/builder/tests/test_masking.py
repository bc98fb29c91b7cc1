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


@pytest.mark.xfail(strict=True, reason="the newline that echo adds changes the last characters of the base64 form")
@pytest.mark.parametrize("secret", ["hunter2-hunter", "hunter2-hunte"])
def test_what_echo_and_base64_make_of_a_secret_is_hidden(secret: str) -> None:
    assert "***" in Masker([secret])(base64.b64encode(f"{secret}\n".encode()).decode())


@pytest.mark.xfail(strict=True, reason="only the base64 form that begins with the secret is known")
def test_a_secret_within_what_was_encoded_is_hidden() -> None:
    basic = base64.b64encode(b"user:ghs_0123456789abcdef").decode()

    assert "***" in Masker(["ghs_0123456789abcdef"])(f"Authorization: Basic {basic}")


@pytest.mark.xfail(strict=True, reason="a secret that is base64 itself is not decoded, as the reference does")
def test_what_a_secret_in_base64_holds_is_hidden() -> None:
    secret = base64.b64encode(b"first line\nsecond line").decode()

    assert Masker([secret])("second line") == "***"
