"""YAML as nodes that know their place in the file, within limits that keep hostile input harmless."""

from dataclasses import dataclass
from typing import Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

LARGEST = 512 * 1024
"""Characters of a manifest."""

DEEPEST = 50
"""Nested collections; libyaml's recursion ends the process at some ten thousands."""

MOST_NODES = 50_000
MOST_ALIASES = 100

FILE = ".estafette.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong in a manifest; line and column count from 1."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Return the finding as one line: where, what, and what to write instead."""
        where = f"{FILE}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ManifestError(Exception):
    """A manifest is not valid; `findings` say why, in the order of the file."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


def compose(text: str) -> Node | None:
    """Return the first document of a text, or nothing when it is empty. Raises ManifestError."""
    if len(text) > LARGEST:
        raise ManifestError((Finding(path="", line=1, column=1, message=f"longer than {LARGEST} characters"),))
    try:
        _guard(text)
        return next(yaml.compose_all(text, Loader=yaml.CBaseLoader), None)
    except yaml.YAMLError as error:
        raise ManifestError((_of_yaml(error),)) from None
    except UnicodeEncodeError:
        raise ManifestError((Finding(path="", line=1, column=1, message="not text that UTF-8 can hold"),)) from None


def _guard(text: str) -> None:
    """Count before composing: composing recurses in C and follows aliases."""
    depth = aliases = 0
    for nodes, event in enumerate(yaml.parse(text, Loader=yaml.CBaseLoader), start=1):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        elif isinstance(event, yaml.DocumentEndEvent):
            return
        if depth > DEEPEST or nodes > MOST_NODES or aliases > MOST_ALIASES:
            limit = f"at most {DEEPEST} levels, {MOST_NODES} nodes and {MOST_ALIASES} aliases are read"
            raise ManifestError((finding(event.start_mark, "", f"too deep or too large: {limit}"),))


def finding(mark: Any, path: str, message: str) -> Finding:
    """Return a finding at a mark of the parser."""
    return Finding(path=path, line=mark.line + 1 if mark else 1, column=mark.column + 1 if mark else 1, message=message)


def _of_yaml(error: yaml.YAMLError) -> Finding:
    if isinstance(error, yaml.MarkedYAMLError):
        reason = " ".join(part for part in (error.context, error.problem) if part)
        return finding(error.problem_mark or error.context_mark, "", f"not valid YAML: {reason}")
    return Finding(path="", line=1, column=1, message="not valid YAML: characters that YAML does not allow")


__all__ = ["Finding", "ManifestError", "MappingNode", "Node", "ScalarNode", "SequenceNode", "compose", "finding"]
