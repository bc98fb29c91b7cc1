"""GitHub's and the network's errors in the two words that handlers know: try again, or never."""

import http
import time
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from gidgethub import GitHubException, HTTPException, RateLimitExceeded

from estafette_common.bus.delivery import PermanentError, TemporaryError

LONGEST_WAIT = 60 * 60.0
"""Seconds; GitHub's limits are counted by the hour."""

WITHOUT_A_HINT = 60.0
"""Seconds to wait for a limit that does not say how long (GitHub's REST documentation: at least a minute)."""

NO_COMMIT = "No commit found"
"""How GitHub's 404 begins when the repository is there and the revision is not, or not yet on every server."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise TemporaryError or PermanentError, saying what we were `doing`, for whatever GitHub or the network raise."""
    try:
        yield
    except GitHubException as error:
        raise translate(error, doing, now=time.time()) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TemporaryError(f"github: {doing}: {type(error).__name__}") from error
    except ValueError as error:
        raise TemporaryError(f"github: {doing}: the answer is not what GitHub documents") from error


def translate(error: GitHubException, doing: str, *, now: float) -> TemporaryError | PermanentError:
    """Return the error in our words; `now` in seconds since the epoch."""
    reason = f"github: {doing}: {type(error).__name__}: {error}"
    if not isinstance(error, HTTPException):
        return TemporaryError(reason)
    if (wait := _limited_for(error, now=now)) is not None:
        return TemporaryError(reason, delay=wait)
    status = int(error.status_code)
    if status >= 500 or status == http.HTTPStatus.REQUEST_TIMEOUT or str(error).startswith(NO_COMMIT):
        return TemporaryError(reason)
    return PermanentError(reason)


def _limited_for(error: HTTPException, *, now: float) -> float | None:
    """Return the seconds until a rate limit lets us again; nothing when it was none.

    A limit answers 403 or 429, with `retry-after` or with nothing remaining until `x-ratelimit-reset`.
    """
    if error.status_code not in {http.HTTPStatus.FORBIDDEN, http.HTTPStatus.TOO_MANY_REQUESTS}:
        return None
    if (hint := error.headers.get("retry-after", "")).isdigit():
        wait = float(hint)
    elif isinstance(error, RateLimitExceeded):
        wait = error.rate_limit.reset_datetime.timestamp() - now
    elif error.headers.get("x-ratelimit-remaining") == "0":
        wait = float(error.headers.get("x-ratelimit-reset", now + WITHOUT_A_HINT)) - now
    elif error.status_code == http.HTTPStatus.TOO_MANY_REQUESTS or "rate limit" in str(error):
        wait = WITHOUT_A_HINT
    else:
        return None
    return min(max(wait, 1.0), LONGEST_WAIT)
