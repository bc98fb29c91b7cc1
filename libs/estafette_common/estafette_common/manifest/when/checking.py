"""What is wrong with an expression whatever the values of its variables are, found before anything runs."""

from functools import lru_cache
from typing import Any

from lark import Token, Tree

from estafette_common.manifest.when import operators
from estafette_common.manifest.when.grammar import WhenError, column, known_name, parse, unquoted


@lru_cache(maxsize=1_000)  # many stages have the same
def check(text: str) -> None:
    """Raise WhenError for an expression that could only fail, whatever the values of its variables."""
    if _kind(parse(text).tree) not in {bool, None}:
        raise WhenError(operators.NO_TRUTH)


def _kind(tree: Any) -> type | None:  # noqa: C901, PLR0911, PLR0912  one case for each construct
    """Return the type of an expression, or nothing when it depends; WhenError when it can have none."""
    children = tree.children
    match tree.data:
        case "text" | "reference":
            return str
        case "number":
            operators.number(tree)
            return float
        case "true" | "false":
            return bool
        case "variable":
            known_name(tree)
            return str
        case "ternary":
            _need_truth(children[0])
            kinds = {_kind(children[1]), _kind(children[2])}
            return kinds.pop() if len(kinds) == 1 else None
        case "either" | "both":
            ends = "true" if tree.data == "either" else "false"
            for child in children:
                _need_truth(child)
                if isinstance(child, Tree) and child.data == ends:
                    break  # what follows is never looked at
            return bool
        case "member":
            for child in children:
                _kind(child)
            return bool
        case "otherwise":
            return _kind(children[0])
        case "prefix":
            if children[0] == "!":
                _need_truth(children[1])
                return bool
            if _kind(children[1]) not in {float, None}:
                raise WhenError(f"only a number can follow {children[0]}", column=column(children[1]))
            return float
        case "compared":
            _check_comparison(*children)
            return bool
        case _:
            left, sign, right = children
            one, other = _kind(left), _kind(right)
            if one is not None and other is not None:
                operators.check_sum(sign, one, other)
            return one or other


def _check_comparison(left: Any, sign: Token, right: Any) -> None:
    one, other = _kind(left), _kind(right)
    if sign in {"=~", "!~"}:
        if {one, other} - {str, None}:
            raise WhenError("only a text can be matched, with a text", column=column(sign))
        if isinstance(right, Tree) and right.data == "text" and not operators.REFERENCE.search(unquoted(right)):
            operators.matched(sign, "", unquoted(right))
    elif sign in operators.ORDERS and one is not None and other is not None:
        operators.check_order(sign, one, other)


def _need_truth(tree: Any) -> None:
    if _kind(tree) not in {bool, None}:
        raise WhenError("both sides of && and || and what follows ! must be true or false", column=column(tree))
