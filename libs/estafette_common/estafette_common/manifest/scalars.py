"""YAML 1.1 scalars as Go's parser resolves them, for the parts of a manifest that go through typed values."""

import math
import re
from decimal import Decimal

from yaml import ScalarNode

TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"])
FALSE = frozenset(["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"])
NULL = frozenset(["", "~", "null", "Null", "NULL"])

DECIMAL = re.compile(r"[-+]?[0-9]+")
RADIX = re.compile(r"([-+]?)0([xXoObB])([0-9a-fA-F_]+)")
OCTAL = re.compile(r"[-+]?0[0-7]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
LONGEST_NUMBER = 100
"""Characters beyond which digits are a text: nobody means such a number, and Python refuses to print it."""

STRAY = re.compile(r"(?<![0-9])_|_(?![0-9])")
"""An underscore that does not separate two digits."""

MOST_PLAIN_DIGITS = 6
"""Digits before the point beyond which Go prints a float with an exponent."""

INFINITE = [".inf", ".Inf", ".INF"]
SPECIAL = {
    **dict.fromkeys([*INFINITE, *(f"+{text}" for text in INFINITE)], math.inf),
    **dict.fromkeys([f"-{text}" for text in INFINITE], -math.inf),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
}

BASES = {"x": 16, "o": 8, "b": 2}

FIRST_OF_NUMBERS = frozenset("0123456789+-.")
FIRST = FIRST_OF_NUMBERS | {text[:1] for text in TRUE | FALSE | NULL}
"""What a plain scalar begins with that may be more than text."""

Scalar = str | int | float | bool | None


def resolve(node: ScalarNode) -> Scalar:
    """Return the typed value of a scalar; quoted ones and blocks are text."""
    text: str = node.value
    if node.style or text[:1] not in FIRST:
        return text
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    return _number(text) if text[0] in FIRST_OF_NUMBERS and len(text) <= LONGEST_NUMBER else text


def _number(text: str) -> str | int | float:  # noqa: PLR0911  one for each notation
    plain = text.replace("_", "")
    try:
        if text[:1] == "." and STRAY.search(text):
            return text
        if found := RADIX.fullmatch(text):
            return _integer(int(found[1] + found[3].replace("_", ""), BASES[found[2].lower()]))
        if OCTAL.fullmatch(plain):
            return _integer(int(plain, 8))
        if DECIMAL.fullmatch(plain):
            is_octal = plain.lstrip("+-")[:1] == "0" and len(plain.lstrip("+-")) > 1
            return float(plain) if is_octal else _integer(int(plain))  # 089 is no octal number, but a float
        if FLOAT.fullmatch(plain):
            value = float(plain)
            return text if math.isinf(value) else value
    except ValueError:
        return text
    return SPECIAL.get(text, text)


def _integer(value: int) -> int | float:
    """Return the number as Go holds it: in 64 bits, or else as a float."""
    return value if -(2**63) <= value < 2**64 else float(value)


def as_text(value: Scalar) -> str:
    """Return a typed value as Go prints it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    return str(value)


def _float_text(value: float) -> str:
    """Return a float as Go's `strconv.FormatFloat(value, 'g', -1, 64)` does: `1.5`, `100000`, `1e+06`."""
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    if math.isnan(value):
        return ".nan"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) + int(exponent) - 1
    if value == 0 or -4 <= power < MOST_PLAIN_DIGITS:
        return f"{Decimal(repr(value)).normalize():f}"
    mantissa = "".join(str(digit) for digit in digits)
    mantissa = mantissa[0] + (f".{mantissa[1:]}" if len(mantissa) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
