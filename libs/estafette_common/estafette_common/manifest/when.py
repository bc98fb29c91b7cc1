"""`when`: whether a stage runs. A small expression language over a few text variables.

Variables are bound as values, never pasted into the text: the name of a branch cannot rewrite an expression. The
operators and their precedence are those of govaluate 3.0, which the reference uses.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Tree, UnexpectedInput

from estafette_common.triggers import patterns

LONGEST = 2_000
"""Characters of an expression."""

DEEPEST = 50
"""Parentheses inside each other, and operators on the result of others."""

NAMES = frozenset({"branch", "status", "action", "server", "trigger"})
"""Variables an expression may use, beside `${ESTAFETTE_…}`."""

GRAMMAR = r"""
    ?start: choice
    ?choice: either
           | either "?" choice ":" choice -> ternary
           | either "??" choice -> otherwise
    ?either: both ("||" both)*
    ?both: comparison ("&&" comparison)*
    ?comparison: bits
               | comparison COMPARING bits -> compared
               | comparison "in" "(" choice ("," choice)* ")" -> member
    ?bits: shift
         | bits (AND | OR | XOR) shift -> calculated
    ?shift: sum
          | shift SHIFT sum -> calculated
    ?sum: product
        | sum (PLUS | MINUS) product -> calculated
    ?product: power
            | product PRODUCT power -> calculated
    ?power: prefixed
          | prefixed POWER power -> calculated
    ?prefixed: value
             | (NOT | MINUS | INVERT) prefixed -> prefix
    ?value: STRING -> text
          | NUMBER -> number
          | "true" -> true
          | "false" -> false
          | REFERENCE -> reference
          | NAME -> variable
          | "[" BRACKETED "]" -> variable
          | "(" choice ")"
    COMPARING: "==" | "!=" | "=~" | "!~" | "<=" | ">=" | "<" | ">"
    AND: "&"
    OR: "|"
    XOR: "^"
    SHIFT.2: "<<" | ">>"
    PLUS: "+"
    MINUS: "-"
    PRODUCT: "*" | "/" | "%"
    POWER.2: "**"
    NOT: "!"
    INVERT: "~"
    REFERENCE: /\$\{ESTAFETTE_\w+\}|\$ESTAFETTE_\w+/
    NAME: /[A-Za-z_]\w*/
    BRACKETED: /[^\[\]]+/
    NUMBER: /\d+(\.\d+)?/
    STRING: /'(\\.|[^'\\])*'|"(\\.|[^"\\])*"/
    %import common.WS
    %ignore WS
"""

REFERENCE = re.compile(r"\$\{ESTAFETTE_\w+\}|\$ESTAFETTE_\w+")
"""Within a text, replaced by its value: which is never read as part of the expression."""

TEXTS = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)

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
LARGEST_SHIFT = 63


class WhenError(Exception):
    """An expression is not valid or has no true-or-false value; `column` counts characters from 1."""

    def __init__(self, reason: str, *, column: int = 1) -> None:
        super().__init__(f"{reason} (at character {column})")
        self.reason = reason
        self.column = column


Node = Tree[Token] | Token


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression."""

    text: str
    tree: Tree[Token]


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True)


@lru_cache(maxsize=1_000)
def parse(text: str) -> Expression:
    """Return the expression of a text; WhenError says what is wrong and where."""
    if len(text) > LONGEST:
        raise WhenError(f"longer than {LONGEST} characters", column=LONGEST)
    if not text.strip():
        raise WhenError("empty; leave `when` out to run a stage while the build succeeds")
    _check_parentheses(text)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        at = error.pos_in_stream
        if at is None or at < 0 or getattr(getattr(error, "token", None), "type", "") == "$END":
            raise WhenError("ends too early", column=len(text)) from None
        raise WhenError(f"not understood: {text[at : at + 10]!r}", column=at + 1) from None
    _check_depth(tree)
    return Expression(text, tree)


def evaluate(text: str, variables: Mapping[str, str]) -> bool:
    """Return whether the expression holds; WhenError when it is not valid or neither true nor false.

    `variables` holds `branch`, `status`, `action`, `server`, `trigger` and any ESTAFETTE_ variable.
    """
    tree = parse(text).tree
    result = _Evaluation(variables).value(tree)
    if not isinstance(result, bool):
        raise WhenError("is neither true nor false; compare it with something, as in status == 'succeeded'")
    return result


def check(text: str) -> None:
    """Raise WhenError for an expression that could only fail, whatever the values of its variables."""
    kind = _kind(parse(text).tree)
    if kind not in {bool, None}:
        raise WhenError("is neither true nor false; compare it with something, as in status == 'succeeded'")


def variables_of(environment: Mapping[str, str], *, server: str) -> dict[str, str]:
    """Return the variables of an expression, from the ESTAFETTE_ variables of a job; what is missing is empty."""
    return {
        "branch": environment.get("ESTAFETTE_GIT_BRANCH", ""),
        "status": environment.get("ESTAFETTE_BUILD_STATUS", ""),
        "action": environment.get("ESTAFETTE_RELEASE_ACTION", ""),
        "trigger": environment.get("ESTAFETTE_TRIGGER", ""),
        "server": server,
    }


def _check_parentheses(text: str) -> None:
    depth = 0
    for place, letter in enumerate(TEXTS.sub(lambda found: " " * len(found[0]), text), start=1):
        depth += (letter == "(") - (letter == ")")
        if depth > DEEPEST:
            raise WhenError(f"more than {DEEPEST} parentheses inside each other", column=place)


def _check_depth(tree: Tree[Token]) -> None:
    """Refuse what evaluating could not hold on its stack. `a && b && c` is flat."""
    level: list[Tree[Token]] = [tree]
    depth = 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise WhenError(f"more than {DEEPEST} operators inside each other", column=_column(level[0]))
        level = [child for each in level for child in each.children if isinstance(child, Tree)]


class _Evaluation:
    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def value(self, tree: Any) -> Any:
        """Return a text, a float, or true or false."""
        found: Callable[[Tree[Token]], Any] = getattr(self, f"_{tree.data}")
        return found(tree)

    def _text(self, tree: Tree[Token]) -> str:
        return REFERENCE.sub(lambda found: self._variables.get(found[0].strip("${}"), ""), _unquoted(tree))

    def _number(self, tree: Tree[Token]) -> float:
        return float(str(tree.children[0]))

    def _true(self, _: Tree[Token]) -> bool:
        return True

    def _false(self, _: Tree[Token]) -> bool:
        return False

    def _variable(self, tree: Tree[Token]) -> str:
        return self._variables.get(_known_name(tree), "")

    def _reference(self, tree: Tree[Token]) -> str:
        return self._variables.get(str(tree.children[0]).strip("${}"), "")

    def _ternary(self, tree: Tree[Token]) -> Any:
        condition, then, otherwise = tree.children
        return self.value(then if self._truth(condition) else otherwise)

    def _otherwise(self, tree: Tree[Token]) -> Any:
        """No variable is ever nothing, so the left side it is."""
        return self.value(tree.children[0])

    def _either(self, tree: Tree[Token]) -> bool:
        return any(self._truth(child) for child in tree.children)

    def _both(self, tree: Tree[Token]) -> bool:
        return all(self._truth(child) for child in tree.children)

    def _member(self, tree: Tree[Token]) -> bool:
        value, *options = (self.value(child) for child in tree.children)
        return any(_equal(value, option) for option in options)

    def _prefix(self, tree: Tree[Token]) -> Any:
        sign, operand = tree.children
        if sign == "!":
            return not self._truth(operand)
        value = self.value(operand)
        if not isinstance(value, float):
            raise WhenError(f"only a number can follow {sign}", column=_column(operand))
        return -value if sign == "-" else float(~int(value))

    def _compared(self, tree: Tree[Token]) -> bool:
        left, sign, right = tree.children
        one, other = self.value(left), self.value(right)
        if sign in {"==", "!="}:
            return bool(_equal(one, other) == (sign == "=="))
        if sign in {"=~", "!~"}:
            return bool(_matches(one, other, _column(sign)) == (sign == "=~"))
        _check_order(type(one), type(other), _column(sign))
        return ORDERS[str(sign)](one, other)

    def _calculated(self, tree: Tree[Token]) -> Any:
        left, sign, right = tree.children
        one, other = self.value(left), self.value(right)
        _check_sum(str(sign), type(one), type(other), _column(sign))
        if isinstance(one, str):
            return one + other
        try:
            return float(NUMERIC[str(sign)](one, other))
        except (ArithmeticError, ValueError):
            raise WhenError("no number comes of this", column=_column(sign)) from None

    def _truth(self, tree: Any) -> bool:
        value = self.value(tree)
        if not isinstance(value, bool):
            raise WhenError("both sides of && and || and what follows ! must be true or false", column=_column(tree))
        return value


def _kind(tree: Any) -> type | None:  # noqa: C901, PLR0911, PLR0912  one case for each construct
    """Return the type of an expression, or nothing when it depends; WhenError when it can have none."""
    children = tree.children
    match tree.data:
        case "text" | "reference":
            return str
        case "number":
            return float
        case "true" | "false":
            return bool
        case "variable":
            _known_name(tree)
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
                raise WhenError(f"only a number can follow {children[0]}", column=_column(children[1]))
            return float
        case "compared":
            _check_comparison(*children)
            return bool
        case _:
            left, sign, right = children
            one, other = _kind(left), _kind(right)
            if one is not None and other is not None:
                _check_sum(str(sign), one, other, _column(sign))
            return one or other


def _check_comparison(left: Any, sign: Token, right: Any) -> None:
    one, other = _kind(left), _kind(right)
    if sign in {"=~", "!~"}:
        if {one, other} - {str, None}:
            raise WhenError("only a text can be matched, with a text", column=_column(sign))
        if isinstance(right, Tree) and right.data == "text" and not REFERENCE.search(_unquoted(right)):
            _matches("", _unquoted(right), _column(sign))
    elif sign in ORDERS and one is not None and other is not None:
        _check_order(one, other, _column(sign))


def _need_truth(tree: Any) -> None:
    if _kind(tree) not in {bool, None}:
        raise WhenError("both sides of && and || and what follows ! must be true or false", column=_column(tree))


def _known_name(tree: Tree[Token]) -> str:
    name = str(tree.children[0])
    if name not in NAMES:
        raise WhenError(f"unknown variable {name!r}; known are {', '.join(sorted(NAMES))}", column=_column(tree))
    return name


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _check_order(one: type, other: type, column: int) -> None:
    if one is not other or one is bool:
        raise WhenError("only two texts or two numbers can be ordered", column=column)


def _check_sum(sign: str, one: type, other: type, column: int) -> None:
    if one is not other or one is bool or (one is str and sign != "+"):
        raise WhenError("only texts or only numbers can be added, and only numbers calculated with", column=column)


def _matches(value: Any, pattern: Any, column: int) -> bool:
    if not (isinstance(value, str) and isinstance(pattern, str)):
        raise WhenError("only a text can be matched, with a text", column=column)
    try:
        return patterns.compile(pattern).search(value) is not None
    except patterns.PatternError as error:
        raise WhenError(str(error), column=column) from None
    except UnicodeEncodeError:
        raise WhenError("a text that UTF-8 cannot hold is not matched", column=column) from None


def _shift(by: float) -> int:
    if not 0 <= by <= LARGEST_SHIFT:
        raise ValueError("shifted too far")
    return int(by)


def _unquoted(tree: Tree[Token]) -> str:
    return re.sub(r"\\(.)", r"\1", str(tree.children[0])[1:-1], flags=re.DOTALL)


def _column(node: Any) -> int:
    start = node.meta.start_pos if isinstance(node, Tree) else node.start_pos
    return int(start or 0) + 1
