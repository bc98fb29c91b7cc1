"""Envelopes below were made with KEY, some by hand to be wrong in one way."""

import base64
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from estafette_common.manifest import secrets
from hypothesis import given
from hypothesis import strategies as st

KEY = b"0123456789abcdef0123456789abcdef"
PIPELINE = "github.com/acme/shop"
VALUE = "open sesame"

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PAYLOADS = st.text("abcXYZ019-_=.")


def sealed(value: str | bytes, *, allow_list: str | None = None, nonce: bytes = b"nonce-000001") -> str:
    """Return an envelope as the reference makes it, its allow list under the nonce of its value."""
    texts = [value if isinstance(value, bytes) else value.encode()] + ([allow_list.encode()] if allow_list else [])
    parts = [nonce] + [AESGCM(KEY).encrypt(nonce, text, None) for text in texts]
    return f"estafette.secret({'.'.join(base64.urlsafe_b64encode(part).decode() for part in parts)})"


def opened(text: str, pipeline: str = PIPELINE) -> str:
    return secrets.decrypt_all(text, key=KEY, pipeline=pipeline)


@given(TEXTS, st.sampled_from([KEY[:16], KEY[:24], KEY]))
def test_any_value_survives_its_envelope(value: str, key: bytes) -> None:
    envelope = secrets.encrypt(value, key=key)

    assert secrets.ENVELOPE.fullmatch(envelope)
    assert secrets.plain_values(envelope, key=key, pipeline=PIPELINE) == [value]


@given(PAYLOADS)
def test_any_payload_is_opened_or_told(payload: str) -> None:
    text = f"estafette.secret({payload})"
    with suppress(secrets.SecretError):
        assert opened(text) == text


def test_no_two_envelopes_share_a_nonce() -> None:
    envelopes = {secrets.encrypt(VALUE, key=KEY)[: len("estafette.secret(") + 16] for _ in range(100)}

    assert len(envelopes) == 100


@pytest.mark.parametrize(
    ("allow_list", "pipeline"),
    [
        (PIPELINE, PIPELINE),
        ("github.com/acme/.+", PIPELINE),
        (" github.com/acme/shop ", PIPELINE),
        ("github.com/acme/a|github.com/acme/b", "github.com/acme/b"),
        (".*", "bitbucket.org/any/one"),
    ],
)
def test_a_restricted_secret_opens_for_whom_it_is(allow_list: str, pipeline: str) -> None:
    assert opened(sealed(VALUE, allow_list=allow_list), pipeline) == VALUE


@pytest.mark.parametrize(
    ("allow_list", "pipeline"),
    [
        (PIPELINE, "github.com/acme/shop-extra"),
        (PIPELINE, "xgithub.com/acme/shop"),
        (PIPELINE, "github.com/other/shop"),
        ("github.com/acme/.+", "github.com/other/whatever"),
        ("github.com/acme/a|github.com/acme/b", "github.com/acme/a-extra"),
        ("github.com/acme/a|github.com/acme/b", "x/github.com/acme/b"),
        (PIPELINE, f"{PIPELINE}\n"),
        ("acme", PIPELINE),
        ("(", PIPELINE),
    ],
)
def test_a_restricted_secret_stays_shut_for_others(allow_list: str, pipeline: str) -> None:
    with pytest.raises(secrets.SecretError) as caught:
        opened(f"a {sealed(VALUE, allow_list=allow_list)} b", pipeline)

    assert VALUE not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("nonce", [b"n" * 8, b"n" * 11, b"n" * 13, b"n" * 128])
def test_a_nonce_of_another_length_is_told(nonce: bytes) -> None:
    with pytest.raises(secrets.SecretError, match=f"nonce has {len(nonce)} bytes"):
        opened(sealed(VALUE, nonce=nonce))


def test_a_changed_envelope_is_told() -> None:
    nonce, sealed_value = sealed(VALUE).removeprefix("estafette.secret(").removesuffix(")").split(".")
    changed = f"estafette.secret({nonce}.{'B' if sealed_value[0] == 'A' else 'A'}{sealed_value[1:]})"

    with pytest.raises(secrets.SecretError, match="cannot be opened"):
        opened(changed)


def test_a_value_that_is_no_text_is_told() -> None:
    with pytest.raises(secrets.SecretError):
        opened(sealed(b"\xff\xfe"))


@pytest.mark.parametrize(
    "text",
    ["estafette.secret()", "Estafette.Secret(a.b)", "estafette.secret( a.b )", "estafette.secret(a.b", "secret(a.b)"],
)
def test_what_is_no_envelope_stays(text: str) -> None:
    assert opened(text) == text


def test_all_envelopes_of_a_text_are_opened_once() -> None:
    inner = sealed("inner")

    assert opened(f"a={sealed('one')} b={sealed('two')}, {sealed(inner)}") == f"a=one b=two, {inner}"
    assert secrets.plain_values(f"{sealed('one')}{sealed('two')}", key=KEY, pipeline=PIPELINE) == ["one", "two"]


def test_a_resealed_secret_keeps_nothing_of_its_allow_list() -> None:
    new_key = bytes(range(32))
    resealed = secrets.reseal(sealed(VALUE, allow_list=PIPELINE), key=KEY, new_key=new_key, pipeline=PIPELINE)

    assert resealed.count(".") == 2
    assert secrets.decrypt_all(resealed, key=new_key, pipeline="") == VALUE


@pytest.mark.parametrize("sealed_key", ["", "é", "AAAA", "A" * 80, "not base64!"])
def test_a_broken_job_key_is_told(sealed_key: str) -> None:
    with pytest.raises(secrets.SecretError):
        secrets.unseal_key(sealed_key, secret_key=KEY, job_id="1")


def test_a_jobs_key_does_not_open_with_another_secret_key() -> None:
    with pytest.raises(secrets.SecretError):
        secrets.unseal_key(secrets.seal_key(bytes(32), secret_key=KEY, job_id="1"), secret_key=bytes(32), job_id="1")


@pytest.mark.parametrize("size", [16, 24, 32])
def test_a_key_is_read_from_base64(size: int) -> None:
    assert secrets.parse_key(base64.b64encode(bytes(range(size))).decode()) == bytes(range(size))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 bytes"),
        ("c2hvcnQ=", "5 bytes"),
        ("not base64!", "not base64"),
        ("é", "not base64"),
        (base64.urlsafe_b64encode(b"\xff" * 32).decode(), "not base64"),
    ],
)
def test_what_is_wrong_with_a_key_is_told_without_the_key(text: str, reason: str) -> None:
    with pytest.raises(secrets.SecretError, match=reason) as caught:
        secrets.parse_key(text)

    assert not text or text not in str(caught.value)


def test_blanks_around_a_key_do_not_matter() -> None:
    assert secrets.parse_key(base64.b64encode(KEY).decode() + "\n") == KEY


def test_a_key_of_another_size_cannot_seal() -> None:
    with pytest.raises(secrets.SecretError):
        secrets.seal_key(bytes(32), secret_key=b"short", job_id="1")
    with pytest.raises(secrets.SecretError):
        secrets.encrypt(VALUE, key=b"short")


SHOP = "github.com/acme/shop"


def test_a_restricted_secret_opens_for_its_pipelines_alone() -> None:
    envelope = secrets.encrypt("hunter2", key=KEY, allow_list="github.com/acme/(shop|web)")

    assert secrets.decrypt(envelope, key=KEY, pipeline=SHOP) == "hunter2"
    for pipeline in ("github.com/acme/other", "github.com/acme/shop-2", "github.com/other/shop"):
        with pytest.raises(secrets.SecretError, match="restricted"):
            secrets.decrypt(envelope, key=KEY, pipeline=pipeline)


def test_the_allow_list_of_an_envelope_cannot_be_changed() -> None:
    envelope = secrets.encrypt("hunter2", key=KEY, allow_list=SHOP)
    other = secrets.encrypt("x", key=KEY, allow_list="github.com/mallory/shop")
    forged = ".".join([*envelope.split(".")[:-1], other.split(".")[-1]])

    with pytest.raises(secrets.SecretError, match="cannot be opened"):
        secrets.decrypt(forged, key=KEY, pipeline="github.com/mallory/shop")


def test_an_allow_list_that_is_no_expression_is_refused() -> None:
    with pytest.raises(secrets.SecretError, match="allow list"):
        secrets.encrypt("x", key=KEY, allow_list="(")


def test_keys_are_rotated_without_losing_a_secret() -> None:
    old, new = bytes(32), bytes(range(32))
    text = f"a: {secrets.encrypt('x', key=old)}\nb: {secrets.encrypt('y', key=old, allow_list=SHOP)}\n"

    rotated = secrets.rotate(text, key=(new, old))

    assert secrets.decrypt_all(text, key=(new, old), pipeline=SHOP) == "a: x\nb: y\n"
    assert secrets.decrypt_all(rotated, key=new, pipeline=SHOP) == "a: x\nb: y\n"
    with pytest.raises(secrets.SecretError, match="restricted"):
        secrets.decrypt_all(rotated, key=new, pipeline="github.com/acme/other")


def test_a_restricted_secret_says_when_its_key_is_not_there() -> None:
    envelope = secrets.encrypt("x", key=KEY, allow_list=SHOP)

    with pytest.raises(secrets.SecretError, match="a key that this server does not have"):
        secrets.decrypt(envelope, key=(bytes(32), KEY[:16]), pipeline=SHOP)
    assert secrets.decrypt(envelope, key=(bytes(32), KEY), pipeline=SHOP) == "x"


def test_the_restricted_envelope_of_another_key_cannot_be_passed_off_as_of_this() -> None:
    parts = secrets.encrypt("x", key=bytes(32), allow_list=SHOP).split(".")
    parts[2] = secrets.encrypt("x", key=KEY, allow_list=SHOP).split(".")[2]

    with pytest.raises(secrets.SecretError, match="was changed"):
        secrets.decrypt(".".join(parts), key=KEY, pipeline=SHOP)


def test_no_two_restricted_envelopes_are_alike() -> None:
    assert len({secrets.encrypt("x", key=KEY, allow_list=SHOP) for _ in range(100)}) == 100


def test_several_keys_are_separated_by_commas() -> None:
    one, other = (base64.b64encode(key).decode() for key in (bytes(32), bytes(range(32))))

    assert secrets.parse_keys(f"{one}, {other}\n") == (bytes(32), bytes(range(32)))


def test_a_secret_that_cannot_be_opened_is_blanked_among_others() -> None:
    good, bad = secrets.encrypt("x", key=KEY), secrets.encrypt("y", key=bytes(32))

    opened = secrets.open_all(f"{good}|{bad}|", key=KEY, pipeline=SHOP)

    assert (opened.text, len(opened.faults)) == ("x||", 1)


def test_a_secret_that_moved_to_github_opens_only_where_that_is_switched_on() -> None:
    envelope = secrets.encrypt("x", key=KEY, allow_list="bitbucket.org/acme/shop")

    closed = secrets.open_all(envelope, key=KEY, pipeline=SHOP)
    opened = secrets.open_all(envelope, key=KEY, pipeline=SHOP, moved_to_github=True)

    assert (len(closed.faults), opened.text) == (1, "x")
