"""What the operators of `when` take and give: texts, finite numbers, and true or false."""

import math
import operator
import re
from collections.abc import Callable
from typing import Any

from lark import Token, Tree

from estafette_common.manifest.when.grammar import WhenError, column
from estafette_common.triggers import patterns

REFERENCE = re.compile(r"\$\{ESTAFETTE_\w+\}|\$ESTAFETTE_\w+")
"""Within a text, replaced by its value: which is never read as part of the expression."""

NO_TRUTH = "is neither true nor false; compare it with something, as in status == 'succeeded'"

LARGEST_SHIFT = 63

ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMERIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": math.fmod,
    "**": math.pow,
    "&": lambda one, other: float(int(one) & int(other)),
    "|": lambda one, other: float(int(one) | int(other)),
    "^": lambda one, other: float(int(one) ^ int(other)),
    "<<": lambda one, other: float(int(one) << _shift(other)),
    ">>": lambda one, other: float(int(one) >> _shift(other)),
}
PREFIXES: dict[str, Callable[[float], float]] = {"-": operator.neg, "~": lambda value: float(~int(value))}


def number(tree: Tree[Token]) -> float:
    """Return the number of a literal; WhenError when none is that large."""
    value = float(str(tree.children[0]))
    if math.isinf(value):
        raise WhenError("a number that is too large", column=column(tree))
    return value


def calculated(sign: Token, one: Any, other: Any) -> Any:
    """Return the text or number that an operator makes of two; WhenError when it makes none."""
    check_sum(sign, type(one), type(other))
    if isinstance(one, str):
        return one + other
    try:
        result = float(NUMERIC[str(sign)](one, other))
    except (ArithmeticError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        raise WhenError("no number comes of this", column=column(sign))
    return result


def equal(one: Any, other: Any) -> bool:
    """Return whether two values are the same and of one kind."""
    return type(one) is type(other) and bool(one == other)


def check_order(sign: Token, one: type, other: type) -> None:
    """Raise WhenError for kinds of values of which none comes before the other."""
    if one is not other or one is bool:
        raise WhenError("only two texts or two numbers can be ordered", column=column(sign))


def check_sum(sign: Token, one: type, other: type) -> None:
    """Raise WhenError for kinds of values that cannot be calculated with."""
    if one is not other or one is bool or (one is str and sign != "+"):
        raise WhenError(
            "only texts or only numbers can be added, and only numbers calculated with", column=column(sign)
        )


def matched(sign: Token, value: Any, pattern: Any) -> bool:
    """Return whether an expression (RE2) is found anywhere in a text; WhenError when it is none."""
    if not (isinstance(value, str) and isinstance(pattern, str)):
        raise WhenError("only a text can be matched, with a text", column=column(sign))
    try:
        return patterns.compile(pattern).search(value) is not None
    except patterns.PatternError as error:
        raise WhenError(str(error), column=column(sign)) from None
    except UnicodeEncodeError:
        raise WhenError("a text that UTF-8 cannot hold is not matched", column=column(sign)) from None


def _shift(by: float) -> int:
    if not 0 <= by <= LARGEST_SHIFT:
        raise ValueError("shifted too far")
    return int(by)
