"""Triggers as documents: mappings with the keys of the manifest, as in YAML and JSON."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from estafette_common.triggers.model import ACTIONS, FILTERS, Action, Filter, Trigger, WrittenTrigger, key_of


def read(document: Mapping[str, Any]) -> WrittenTrigger:
    """Return the trigger of a mapping; values have their types already, unknown keys are left out."""
    return WrittenTrigger(
        name=document.get("name") or "",
        filters=tuple(_read(kind, document[key]) for key, kind in FILTERS.items() if document.get(key) is not None),
        actions=tuple(_read(kind, document[key]) for key, kind in ACTIONS.items() if document.get(key) is not None),
    )


def write(trigger: Trigger | WrittenTrigger) -> dict[str, Any]:
    """Return the mapping of a trigger, without what is empty."""
    parts = (trigger.filter, trigger.action) if isinstance(trigger, Trigger) else (*trigger.filters, *trigger.actions)
    name = {"name": trigger.name} if trigger.name else {}
    return name | {key_of(part): _write(part) for part in parts}


def _read(kind: Any, document: Mapping[str, Any]) -> Any:
    given = {field.name: document.get(_key(field.name)) for field in fields(kind)}
    texts = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return kind(**{name: value for name, value in texts.items() if value is not None})


def _write(part: Filter | Action) -> dict[str, Any]:
    values = {field: getattr(part, field.name) for field in fields(part)}
    changed = {field.name: value for field, value in values.items() if value != field.default}
    return {_key(name): list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


def _key(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
