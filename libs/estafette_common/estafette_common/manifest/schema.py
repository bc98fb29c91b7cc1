"""JSON Schema of `.estafette.yaml` for editors, made from the models and the reference of keys."""

from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from estafette_common.manifest import model
from estafette_common.manifest.reference import ITEMS, KEYS, Key
from estafette_common.manifest.writing import NAMED
from estafette_common.triggers.model import ACTIONS, FILTERS, WrittenTrigger

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The draft that editors' YAML plug-ins know."""

OPEN = (model.Stage, model.Service)
"""Parts that take any other key, as a property for the image."""

TEXT: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
"""Where the language wants a text it takes every scalar."""

SCALARS: dict[Any, dict[str, Any]] = {
    str: TEXT,
    bool: {"type": ["boolean", "null"]},
    int: {"type": ["number", "null"]},
    dict[str, str]: {"type": ["object", "null"], "additionalProperties": TEXT},
    tuple[str, ...]: {"type": ["array", "null"], "items": TEXT},
}


def schema() -> dict[str, Any]:
    """Return the schema."""
    definitions = {kind.__name__: _object(kind) for kind in KEYS if kind is not model.Manifest}
    root = _object(model.Manifest)
    root["properties"]["pipelines"] = {
        **root["properties"]["stages"],
        "description": "The old name of stages.",
        "deprecated": True,
    }
    return {"$schema": DIALECT, "title": ".estafette.yaml", **root, "definitions": definitions}


def _object(kind: Any) -> dict[str, Any]:
    described = {key: _property(kind, key, told) for key, told in KEYS[kind].items()}
    return {
        "type": ["object", "null"],
        "description": (kind.__doc__ or "").partition("\n")[0],
        "properties": described,
        "additionalProperties": kind in OPEN,
    }


def _property(kind: Any, key: str, told: Key) -> dict[str, Any]:
    default = f" Default: {told.default}." if told.default else ""
    description = f"{told.meaning[0].upper()}{told.meaning[1:]}.{default}".replace("`", "").replace("\\|", "|")
    return {**_type(kind, key), "description": description}


def _type(kind: Any, key: str) -> dict[str, Any]:
    if (kind, key) in ITEMS:
        item = {"$ref": f"#/definitions/{ITEMS[kind, key].__name__}"}
        if key in NAMED:
            return {"type": ["object", "null"], "additionalProperties": item}
        return {"type": ["array", "null"], "items": item}
    if kind is WrittenTrigger:
        parts = FILTERS | ACTIONS
        return {"allOf": [{"$ref": f"#/definitions/{parts[key].__name__}"}]} if key in parts else TEXT
    if (kind, key) == (model.Semver, "releaseBranch"):
        return {"anyOf": [TEXT, SCALARS[tuple[str, ...]]]}
    type_ = _plain(_types(kind)[key])
    if isinstance(type_, type) and type_ in KEYS:
        return {"allOf": [{"$ref": f"#/definitions/{type_.__name__}"}]}
    return SCALARS[type_]


def _types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    if is_dataclass(kind):
        return {_camel(name): type_ for name, type_ in hints.items()}
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(kind)}


def _plain(type_: Any) -> Any:
    """Return `X` of `X | None`."""
    if get_origin(type_) is UnionType or isinstance(type_, UnionType):
        return next(each for each in get_args(type_) if each is not NoneType)
    return type_


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
