"""YAML as nodes that know their place in the file, within limits that keep hostile input harmless."""

from typing import Any

import yaml
from yaml import Node

from estafette_common.manifest.findings import Finding, ManifestError

LARGEST = 512 * 1024
"""Characters of a manifest."""

DEEPEST = 50
"""Nested collections; libyaml's recursion ends the process at some ten thousands."""

MOST_NODES = 50_000
MOST_ALIASES = 100

_DEEP = "\n" + " " * (DEEPEST // 2 - 1)
"""Each level of a block is indented more than the one around it, or begins in its line."""

_SEVERAL_IN_A_LINE = ("- -", "- ?", "-  ", "-\t", "? ", "?\t")


def compose(text: str) -> Node | None:
    """Return the first document of a text, or nothing when it is empty. Raises ManifestError."""
    if len(text) > LARGEST:
        raise _refusal("too-large", f"longer than {LARGEST} characters")
    try:
        _guard(text)
        return next(yaml.compose_all(text, Loader=yaml.CBaseLoader), None)
    except yaml.YAMLError as error:
        raise _of_yaml(error) from None
    except UnicodeEncodeError:
        raise _refusal("yaml", "not text that UTF-8 can hold") from None


def _guard(text: str) -> None:
    """Count before composing: composing recurses in C and follows aliases."""
    if not _may_exceed(text):
        return
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
            raise _refusal("too-large", f"too deep or too large: {limit}", event.start_mark)


def _may_exceed(text: str) -> bool:
    """Return whether a text could be far beyond the limits: few can, and counting events costs as much as loading."""
    brackets = text.count("[") + text.count("{") - text.count("${")
    return (
        len(text) > MOST_NODES
        or text.count("*") > MOST_ALIASES
        or brackets > DEEPEST // 2
        or _DEEP in text
        or any(each in text for each in _SEVERAL_IN_A_LINE)
    )


def _refusal(rule: str, message: str, mark: Any = None) -> ManifestError:
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return ManifestError((Finding(rule=rule, path="", line=line, column=column, message=message),))


def _of_yaml(error: yaml.YAMLError) -> ManifestError:
    if isinstance(error, yaml.MarkedYAMLError):
        reason = " ".join(part for part in (error.context, error.problem) if part)
        return _refusal("yaml", f"not valid YAML: {reason}", error.problem_mark or error.context_mark)
    return _refusal("yaml", "not valid YAML: characters that YAML does not allow")
