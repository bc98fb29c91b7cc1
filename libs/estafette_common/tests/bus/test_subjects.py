import pytest
from estafette_common.bus import identity
from estafette_common.bus.messages.jobs import JobHeartbeat
from estafette_common.bus.subjects import JOB_FINISHED, STREAMS, fill, pattern, stream_of, token
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(NAMES)
def test_a_token_cannot_split_or_widen_a_subject(name: str) -> None:
    assert not set(token(name)) & set(".*> \t\r\n\0")
    assert token(name).isascii()


@given(NAMES, NAMES)
def test_different_names_give_different_tokens(one: str, other: str) -> None:
    assert (token(one) == token(other)) == (one == other)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        token("")


def test_a_template_is_both_the_subject_and_the_filter() -> None:
    assert fill(JOB_FINISHED, kind="build", job_id="1.2") == "job.build.1%2E2.finished"
    assert pattern(JOB_FINISHED) == "job.*.*.finished"
    assert JobHeartbeat.pattern() == "job.*.*.heartbeat"


def test_every_stream_stores_the_subjects_of_its_root() -> None:
    assert {stream_of(f"{root}.x") for root in STREAMS} == {stream.name for stream in STREAMS.values()}


def test_the_same_cause_gives_the_same_ids() -> None:
    assert identity.derive("cause", "purpose") == identity.derive("cause", "purpose")
    assert identity.derive("cause", "purpose") != identity.derive("cause", "other purpose")
    assert identity.job_id("github.com/acme/shop", "d-1") == identity.job_id("github.com/acme/shop", "d-1")
    assert identity.job_id("github.com/acme/shop", "d-1") != identity.job_id("github.com/acme/other", "d-1")


@given(NAMES, NAMES)
def test_a_job_id_is_a_positive_63_bit_decimal(pipeline: str, cause: str) -> None:
    assert 0 <= int(identity.job_id(pipeline, cause)) < 2**63
