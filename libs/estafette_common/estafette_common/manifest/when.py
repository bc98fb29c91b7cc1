"""`when`: whether a stage runs. A small expression language over a few text variables.

Variables are bound as values, never pasted into the text: the name of a branch cannot rewrite an expression.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any

import re2
from lark import Lark, Token, Tree, UnexpectedInput

LONGEST = 2_000
"""Characters of an expression."""

DEEPEST = 50
"""Open parentheses at once."""

NAMES = frozenset({"branch", "status", "action", "server", "trigger"})
"""Variables an expression may use, beside `${ESTAFETTE_…}`."""

GRAMMAR = r"""
    ?start: either
    ?either: both ("||" both)*
    ?both: opposite ("&&" opposite)*
    ?opposite: "!" opposite -> negation
             | comparison
    ?comparison: sum (OPERATOR sum)?
               | sum "in" "(" sum ("," sum)* ")" -> member
    ?sum: value ("+" value)*
    ?value: STRING -> text
          | NUMBER -> number
          | "true" -> true
          | "false" -> false
          | REFERENCE -> reference
          | NAME -> variable
          | "(" either ")"
    OPERATOR: "==" | "!=" | "=~" | "!~" | "<=" | ">=" | "<" | ">"
    REFERENCE: /\$\{ESTAFETTE_\w+\}|\$ESTAFETTE_\w+/
    NAME: /[A-Za-z_]\w*/
    NUMBER: /\d+(\.\d+)?/
    STRING: /'(\\.|[^'\\])*'|"(\\.|[^"\\])*"/
    %import common.WS
    %ignore WS
"""


REFERENCE = re.compile(r"\$\{ESTAFETTE_\w+\}|\$ESTAFETTE_\w+")
"""Within a text, replaced by its value: which is never read as part of the expression."""

ORDERS = {"<": lt, "<=": le, ">": gt, ">=": ge}


class WhenError(Exception):
    """An expression is not valid or has no true-or-false value; `column` counts from 1."""

    def __init__(self, reason: str, *, column: int = 1) -> None:
        super().__init__(f"{reason} (at character {column})")
        self.reason = reason
        self.column = column


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression."""

    text: str
    tree: Tree[Token] | Token


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True)


@lru_cache(maxsize=1_000)
def parse(text: str) -> Expression:
    """Return the expression of a text; WhenError says what is wrong and where."""
    if len(text) > LONGEST:
        raise WhenError(f"longer than {LONGEST} characters", column=LONGEST)
    if text.count("(") > DEEPEST or text.count("!") > DEEPEST:
        raise WhenError(f"more than {DEEPEST} parentheses or negations")
    if not text.strip():
        raise WhenError("empty; leave `when` out to run a stage while the build succeeds")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        column = error.pos_in_stream + 1 if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(text)
        rest = text[column - 1 : column + 9] if column <= len(text) else ""
        raise WhenError(f"not understood: {rest!r}" if rest else "ends too early", column=column) from None
    _check_names(tree)
    return Expression(text, tree)


def evaluate(text: str, variables: Mapping[str, str]) -> bool:
    """Return whether the expression holds; WhenError when it is not valid or neither true nor false.

    `variables` holds `branch`, `status`, `action`, `server`, `trigger` and any ESTAFETTE_ variable.
    """
    result = _value(parse(text).tree, variables)
    if not isinstance(result, bool):
        raise WhenError("is neither true nor false; compare it with something, as in status == 'succeeded'")
    return result


def _check_names(tree: Tree[Token] | Token) -> None:
    if isinstance(tree, Tree):
        for variable in tree.find_data("variable"):
            name = variable.children[0]
            if isinstance(name, Token) and name not in NAMES:
                known = ", ".join(sorted(NAMES))
                raise WhenError(f"unknown variable {str(name)!r}; known are {known}", column=name.column or 1)


def _value(tree: Any, variables: Mapping[str, str]) -> Any:  # noqa: C901, PLR0911  one case for each construct
    children = tree.children
    match tree.data:
        case "text":
            return REFERENCE.sub(lambda found: variables.get(found[0].strip("${}"), ""), _unescape(children[0][1:-1]))
        case "number":
            return float(children[0])
        case "true":
            return True
        case "false":
            return False
        case "variable":
            return variables.get(str(children[0]), "")
        case "reference":
            return variables.get(str(children[0]).strip("${}"), "")
        case "negation":
            return not _truth(children[0], variables)
        case "both":
            return all(_truth(child, variables) for child in children)
        case "either":
            return any(_truth(child, variables) for child in children)
        case "sum":
            return _sum([_value(child, variables) for child in children])
        case "member":
            value, *options = (_value(child, variables) for child in children)
            return value in options
        case _:
            left, operator, right = children
            return _compare(left, operator, right, variables)


def _compare(left: Any, operator: Token, right: Any, variables: Mapping[str, str]) -> bool:
    one, other = _value(left, variables), _value(right, variables)
    if operator in {"=~", "!~"}:
        return bool(_matches(one, other, operator) == (operator == "=~"))
    if operator in {"==", "!="}:
        return bool((one == other) == (operator == "=="))
    if type(one) is not type(other) or isinstance(one, bool):
        raise WhenError("only two texts or two numbers can be ordered", column=operator.column or 1)
    return bool(ORDERS[operator](one, other))


def _sum(values: list[Any]) -> Any:
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, float) for value in values):
        return sum(values)
    raise WhenError("only texts or only numbers can be added")


def _matches(value: Any, pattern: Any, operator: Token) -> bool:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(str(pattern), options).search(str(value)) is not None
    except re2.error:
        raise WhenError("the regular expression is not valid (RE2)", column=operator.column or 1) from None


def _truth(tree: Any, variables: Mapping[str, str]) -> bool:
    value = _value(tree, variables)
    if not isinstance(value, bool):
        raise WhenError("both sides of && and || and what follows ! must be true or false")
    return value


def _unescape(text: str) -> str:
    return text.replace("\\'", "'").replace('\\"', '"').replace("\\\\", "\\")
