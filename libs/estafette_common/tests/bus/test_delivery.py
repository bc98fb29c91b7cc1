import asyncio

import pytest
from estafette_common.bus.delivery import PermanentError, TemporaryError, next_try

BACKOFF = (1.0, 5.0)


@pytest.mark.parametrize(
    ("error", "tries", "expected"),
    [
        (RuntimeError("x"), 1, 1.0),
        (RuntimeError("x"), 2, 5.0),
        (RuntimeError("x"), 3, None),
        (TemporaryError("busy"), 1, 1.0),
        (TemporaryError("busy", delay=30.0), 1, 30.0),
        (TemporaryError("busy", delay=30.0), 3, None),
        (PermanentError("never"), 1, None),
        (asyncio.CancelledError(), 1, 0.0),
        (asyncio.CancelledError(), 9, 0.0),
    ],
)
def test_the_error_and_the_number_of_tries_decide_when_to_try_again(
    error: BaseException, tries: int, expected: float | None
) -> None:
    assert next_try(error, tries=tries, backoff=BACKOFF) == expected
