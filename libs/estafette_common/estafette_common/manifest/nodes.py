"""Typed reading of YAML nodes: what the reference's parser would make of each, and a finding where it would refuse.

The reference reads some parts strictly (unknown and repeated keys are errors, scalars keep their text) and all below
`stages`, `releases`, `releaseTemplates` and `bots` leniently (they are not, and scalars are typed first: `1.10` is
`1.1`). What it drops in silence there is a warning here.
"""

import difflib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from estafette_common.manifest.findings import Findings
from estafette_common.manifest.scalars import Scalar, as_text, resolve
from estafette_common.manifest.yaml import DEEPEST, MOST_NODES

LARGEST_NUMBER = 2**63

T = TypeVar("T")


class Nodes:
    """Reads nodes and collects what is wrong with them. Wrong values read as empty ones."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self._visited = 0

    def fields(self, node: Node, path: str, known: tuple[str, ...], *, strict: bool) -> dict[str, Node]:
        """Return the values of a map by key, for a map of which all keys are known."""
        found: dict[str, Node] = {}
        for name, value, key in self.entries(node, path, strict=strict):
            if name in known:
                self.put(found, name, value, key, path, strict=strict)
                continue
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            tell = self.findings.error if strict else self.findings.warning
            effect = "" if strict else " without effect"
            tell("unknown-key", _join(path, name), f"unknown key{effect}; {hint}", at=key.start_mark)
        return found

    def put(self, found: dict[str, T], name: str, value: T, key: Node, path: str, *, strict: bool) -> None:
        """Add an entry to a map; one that is there already is an error, or it is replaced."""
        full = _join(path, name)
        if name in found:
            if strict:
                self.findings.error("duplicate-key", full, "given twice; keep one", at=key.start_mark)
                return
            self.findings.warning("duplicate-key", full, "given twice; the last one counts", at=key.start_mark)
        found[name] = value
        self.findings.mark(full, key.start_mark)

    def entries(self, node: Node, path: str, *, strict: bool) -> Iterator[tuple[str, Node, Node]]:
        """Give name, value and key node of each entry of a map, those of a null there are none of."""
        if is_null(node):
            return
        if not isinstance(node, MappingNode):
            self.wrong_type(node, path, 'not a map; write keys and values, as in "name: value"')
            return
        for key, value in node.value:
            if not self._visit(key, path):
                return
            if not isinstance(key, ScalarNode):
                self.findings.error("key-type", path, "a key is a list or map; use a text", at=key.start_mark)
            elif "\0" in key.value:
                self.findings.error("nul", path, "a key holds a NUL character", at=key.start_mark)
            elif key.value == "<<" and not key.style:
                yield from self._merged(value, path, key, strict=strict)
            else:
                yield key.value if strict else as_text(resolve(key)), value, key

    def named(self, node: Node, path: str) -> Iterator[tuple[str, Node]]:
        """Give name and body of each entry of a map of named things, which keep their order; names may repeat."""
        seen: set[str] = set()
        for name, value, key in self.entries(node, path, strict=False):
            full = _join(path, name)
            if not isinstance(resolve_scalar(key), str):
                hint = f'not a text as a name; put quotes around it, as in "{key.value}"'
                self.findings.error("name-type", full, hint, at=key.start_mark)
                continue
            if name in seen:
                self.findings.warning("duplicate-name", full, "a name given twice; both are kept", at=key.start_mark)
            seen.add(name)
            self.findings.mark(full, key.start_mark)
            yield name, value

    def items(self, node: Node, path: str) -> Iterator[tuple[str, Node]]:
        """Give path and node of each item of a list of maps."""
        for place, item in enumerate(self._sequence(node, path)):
            full = f"{path}[{place}]"
            self.findings.mark(full, item.start_mark)
            if is_null(item):
                self.findings.error("null-item", full, "empty; remove it or fill it in", at=item.start_mark)
            else:
                yield full, item

    def text(self, node: Node, path: str, *, strict: bool) -> str:
        """Return a scalar as text."""
        if not self._visit(node, path):
            return ""
        if not isinstance(node, ScalarNode):
            self.wrong_type(node, path, "not a text but a list or map; put quotes around it if it is meant as text")
            return ""
        if "\0" in node.value:
            self.findings.error(
                "nul", path, "holds a NUL character, which no variable and no command can", at=node.start_mark
            )
            return ""
        if strict:
            return "" if is_null(node) else str(node.value)
        return as_text(resolve(node))

    def integer(self, node: Node, path: str) -> int:
        """Return a scalar as a whole number; a fraction is cut off, nothing is 0."""
        value = resolve(node) if isinstance(node, ScalarNode) else ""
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST_NUMBER:
            self.wrong_type(node, path, 'not a whole number; write it without quotes, as in "1"')
            return 0
        return int(value)

    def boolean(self, node: Node, path: str) -> bool:
        """Return a scalar as true or false; nothing is false."""
        value = resolve(node) if isinstance(node, ScalarNode) else ""
        if value is None:
            return False
        if not isinstance(value, bool):
            self.wrong_type(node, path, "neither true nor false; write it without quotes")
            return False
        return value

    def texts(self, node: Node, path: str, *, strict: bool) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(
            self.text(item, f"{path}[{place}]", strict=strict) for place, item in enumerate(self._sequence(node, path))
        )

    def table(self, node: Node, path: str, *, strict: bool) -> dict[str, str]:
        """Return a map of texts with any keys."""
        found: dict[str, str] = {}
        for name, value, key in self.entries(node, path, strict=strict):
            self.put(found, name, self.text(value, _join(path, name), strict=strict), key, path, strict=strict)
        return found

    def tree(self, node: Node, path: str, depth: int = 0) -> Any:
        """Return a custom property as JSON has it: texts, whole numbers, true and false, lists, maps."""
        if depth > DEEPEST:
            self._visited = max(self._visited, MOST_NODES - 1)
        if not self._visit(node, path):
            return None
        if isinstance(node, SequenceNode):
            return [self.tree(item, path, depth + 1) for item in node.value]
        if isinstance(node, MappingNode):
            return {
                name: self.tree(value, path, depth + 1) for name, value, _ in self.entries(node, path, strict=False)
            }
        value = resolve_scalar(node)
        if value is None:
            return "<nil>"
        return value if isinstance(value, bool | int) else as_text(value)

    def wrong_type(self, node: Node, path: str, message: str) -> None:
        """Add a finding about a value of another type than its key has."""
        self.findings.error("type", path or "the manifest", message, at=node.start_mark)

    def _sequence(self, node: Node, path: str) -> list[Node]:
        if is_null(node):
            return []
        if not isinstance(node, SequenceNode):
            self.wrong_type(node, path, 'not a list; begin each item with "- "')
            return []
        items: list[Node] = node.value
        return items

    def _merged(self, value: Node, path: str, key: Node, *, strict: bool) -> Iterator[tuple[str, Node, Node]]:
        """Give what a merge key brings; where the reference reads leniently, it brings nothing."""
        if strict:
            for each in value.value if isinstance(value, SequenceNode) else [value]:
                yield from self.entries(each, path, strict=True)
        else:
            hint = "a merge key has no effect here; write the keys out"
            self.findings.warning("merge-key", _join(path, "<<"), hint, at=key.start_mark)

    def _visit(self, node: Node, path: str) -> bool:
        """Return whether there is still room for what aliases multiply; tells once when there is none."""
        self._visited += 1
        if self._visited == MOST_NODES:
            self.findings.error("too-large", path, "grows without end by its aliases; write it out", at=node.start_mark)
        return self._visited < MOST_NODES


def is_null(node: Node) -> bool:
    """Return whether a node is nothing: empty, `~` or `null`."""
    return isinstance(node, ScalarNode) and resolve(node) is None


def resolve_scalar(node: Node) -> Scalar:
    """Return the typed value of a node that is known to be a scalar."""
    assert isinstance(node, ScalarNode)  # noqa: S101  for the type checker; the callers have looked
    return resolve(node)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


Reader = Callable[[Node, str], Any]
"""Reads the value of one key, given its path."""
