"""The language of `when`, and the tree of an expression, with limits that later steps can rely on."""

import re
from dataclasses import dataclass
from functools import lru_cache

from lark import Lark, Token, Tree, UnexpectedInput

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

TEXTS = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)


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


def column(node: Node) -> int:
    """Return where a part of an expression begins, in characters from 1."""
    start = node.meta.start_pos if isinstance(node, Tree) else node.start_pos
    return int(start or 0) + 1


def known_name(tree: Tree[Token]) -> str:
    """Return the name of a variable; WhenError when there is none of it."""
    name = str(tree.children[0])
    if name not in NAMES:
        raise WhenError(f"unknown variable {name!r}; known are {', '.join(sorted(NAMES))}", column=column(tree))
    return name


def unquoted(tree: Tree[Token]) -> str:
    """Return a text without its quotes and with what follows a backslash as it is."""
    return re.sub(r"\\(.)", r"\1", str(tree.children[0])[1:-1], flags=re.DOTALL)


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
            raise WhenError(f"more than {DEEPEST} operators inside each other", column=column(level[0]))
        level = [child for each in level for child in each.children if isinstance(child, Tree)]
