"""Durations as Go writes them: 1h30m, 1.5h, 90s."""

import re
from datetime import timedelta
from decimal import Decimal

_NUMBER = r"(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})"
_DURATION = re.compile(rf"(?P<sign>[+-]?)(?:0|(?P<parts>(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h))+))")
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)")

_MICROSECONDS = {
    "ns": Decimal("0.001"),
    "us": Decimal(1),
    "µs": Decimal(1),
    "μs": Decimal(1),
    "ms": Decimal(1_000),
    "s": Decimal(1_000_000),
    "m": Decimal(60_000_000),
    "h": Decimal(3_600_000_000),
}

LONGEST = timedelta(microseconds=2**63 // 1000)
"""Go counts nanoseconds in 64 bits."""


def parse(text: str) -> timedelta | None:
    """Return the duration, cut to microseconds; None when the text is none or it is longer than 292 years."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    total = sum(
        (Decimal(number) * _MICROSECONDS[unit] for number, unit in _PART.findall(found["parts"] or "")), Decimal(0)
    )
    if total > LONGEST / timedelta(microseconds=1):
        return None
    return timedelta(microseconds=int(total)) * (-1 if found["sign"] == "-" else 1)
