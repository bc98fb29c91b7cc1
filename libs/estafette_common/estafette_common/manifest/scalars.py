"""YAML 1.1 scalars as Go's parser resolves them, for the parts of a manifest that go through typed values."""

import re

from yaml import ScalarNode

TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"])
FALSE = frozenset(["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"])
NULL = frozenset(["", "~", "null", "Null", "NULL"])

DECIMAL = re.compile(r"[-+]?[0-9][0-9_]*")
RADIX = re.compile(r"([-+]?)0([xob])([0-9a-fA-F_]+)")
OCTAL = re.compile(r"([-+]?)0([0-7_]+)")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
LONGEST_NUMBER = 100
"""Characters beyond which digits are a text: nobody means such a number, and Python refuses to print it."""

BASES = {"x": 16, "o": 8, "b": 2}

Scalar = str | int | float | bool | None


def resolve(node: ScalarNode) -> Scalar:
    """Return the typed value of a scalar; quoted ones and blocks are text."""
    text: str = node.value
    if node.style:
        return text
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    return _number(text) if len(text) <= LONGEST_NUMBER else text


def _number(text: str) -> str | int | float:
    try:
        if found := RADIX.fullmatch(text):
            return int(found[1] + found[3].replace("_", ""), BASES[found[2]])
        if found := OCTAL.fullmatch(text):
            return int(found[1] + found[2].replace("_", ""), 8)
        if DECIMAL.fullmatch(text):
            return int(text.replace("_", ""))
        if FLOAT.fullmatch(text.replace("_", "")) and text[:1] != "_":
            return float(text.replace("_", ""))
    except ValueError:
        return text
    return text


def as_text(value: Scalar) -> str:
    """Return a typed value as Go prints it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    return str(value)
