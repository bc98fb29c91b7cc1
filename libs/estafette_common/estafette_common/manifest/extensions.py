"""What an extension is told: the properties of its stage, as variables."""

from collections.abc import Mapping
from typing import Any

from estafette_common.manifest.environment import compact_json, upper_snake
from estafette_common.manifest.writing import dump

PREFIX = "ESTAFETTE_EXTENSION_"


def extension_variables(properties: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
    """Return what an extension is told: each simple property of its stage, and all of them as JSON and as YAML.

    Lists of texts are joined by commas; other lists and maps are in the whole alone. The stage's `env` is in there,
    too, once there is any property.
    """
    variables = {
        f"{PREFIX}{upper_snake(name)}": text
        for name, value in properties.items()
        if (text := _simple(value)) is not None
    }
    whole = {**properties, "env": dict(env) or None} if properties else {}
    variables[f"{PREFIX}CUSTOM_PROPERTIES"] = compact_json(whole)
    variables[f"{PREFIX}CUSTOM_PROPERTIES_YAML"] = dump(
        {**whole, **({"env": dict(env)} if whole else {})}, sort_keys=True
    )
    return variables


def _simple(value: Any) -> str | None:
    match value:
        case str():
            return value
        case bool() | int() | float():
            return compact_json(int(value) if isinstance(value, float) and value.is_integer() else value)
        case list() if all(isinstance(item, str) for item in value):
            return ",".join(value)
        case _:
            return None
