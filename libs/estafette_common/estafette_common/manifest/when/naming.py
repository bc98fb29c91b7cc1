"""Which variables an expression names."""

from collections.abc import Iterator

from lark import Tree

from estafette_common.manifest.when import operators
from estafette_common.manifest.when.grammar import Node, parse, unquoted


def names(text: str) -> tuple[str, ...]:
    """Return the variables that an expression names, each once, in its order; WhenError when it is not valid."""
    return tuple(dict.fromkeys(_named(parse(text).tree)))


def _named(node: Node) -> Iterator[str]:
    match node:
        case Tree(data="variable"):
            yield str(node.children[0])
        case Tree(data="reference"):
            yield _bare(str(node.children[0]))
        case Tree(data="text"):
            yield from map(_bare, operators.REFERENCE.findall(unquoted(node)))
        case Tree():
            for child in node.children:
                yield from _named(child)


def _bare(reference: str) -> str:
    return reference.strip("${}")
