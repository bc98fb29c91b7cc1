"""Writing a manifest: canonical YAML that reads back as the same manifest, and its tree in JSON."""

from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from estafette_common.manifest import model
from estafette_common.manifest.scalars import resolve
from estafette_common.triggers import documents

NAMED = ("stages", "releases", "releaseTemplates", "bots", "parallelStages")
"""Lists of named things, which YAML writes as maps."""


def tree(manifest: model.Manifest) -> dict[str, Any]:
    """Return the manifest as JSON has it: keys as in YAML, named things as lists, what is empty left out.

    A single release branch is a text, as it is mostly written.
    """
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(manifest))
    _write_triggers(found, manifest)
    semver = found.get("version", {}).get("semver")
    if semver is not None and len(semver["releaseBranch"]) == 1 and semver["releaseBranch"][0]:
        [semver["releaseBranch"]] = semver["releaseBranch"]
    return found


def to_yaml(manifest: model.Manifest) -> str:
    """Return the manifest as YAML."""
    return dump(_as_maps(tree(manifest)))


def dump(node: Any, *, sort_keys: bool = False) -> str:
    """Return a tree as YAML 1.1 that reads back as the same tree here and in Go."""
    return yaml.dump(node, Dumper=_Dumper, sort_keys=sort_keys, allow_unicode=True, width=120)


def _write_triggers(found: dict[str, Any], manifest: model.Manifest) -> None:
    jobs = [(found, manifest.triggers)]
    groups: dict[str, tuple[model.Release | model.Bot, ...]] = {
        "releases": manifest.releases,
        "releaseTemplates": manifest.release_templates,
        "bots": manifest.bots,
    }
    for key, group in groups.items():
        jobs += [(part, job.triggers) for part, job in zip(found.get(key, ()), group, strict=True)]
    for part, triggers in jobs:
        if triggers:
            part["triggers"] = [documents.write(trigger) for trigger in triggers]


def _as_maps(node: Any) -> Any:
    """Return a tree with named things as maps, and the properties of stages beside their keys."""
    if isinstance(node, list):
        return [_as_maps(item) for item in node]
    if not isinstance(node, dict):
        return node
    written: dict[str, Any] = {}
    for key, value in node.items():
        if key == "customProperties":
            written |= value
        elif key in NAMED and isinstance(value, list):
            written[key] = _Named([(item["name"], _as_maps(item)) for item in value])
        else:
            written[key] = value if key in {"env", "labels"} else _as_maps(value)
    return written


@dataclass(frozen=True, slots=True)
class _Named:
    """Named things in order; a name may stand there twice."""

    entries: list[tuple[str, Any]]


class _Dumper(yaml.CSafeDumper):
    """Puts quotes around every text that would be read as something else."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = yaml.ScalarNode("tag:yaml.org,2002:str", text)
    style = "|" if "\n" in text.strip("\n") else None if isinstance(resolve(plain), str) and text != "<<" else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _named(dumper: _Dumper, named: _Named) -> yaml.MappingNode:
    pairs = [(dumper.represent_data(name), dumper.represent_data(_without_name(body))) for name, body in named.entries]
    return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=False)


def _without_name(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "name"}


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_Named, _named)
