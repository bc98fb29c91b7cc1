"""From YAML nodes to a manifest as it was written, without defaults.

Source of what is read how: the reference's parser (estafette-ci-manifest v0.1.201), observed case by case.
"""

from functools import cache, partial
from typing import Any, get_type_hints

import msgspec
from yaml import MappingNode, Node, SequenceNode

from estafette_common.manifest import model
from estafette_common.manifest.findings import Findings
from estafette_common.manifest.nodes import Nodes, Reader, is_null
from estafette_common.triggers.model import ACTIONS, FILTERS, WrittenTrigger

MANIFEST_KEYS = (
    "archived",
    "builder",
    "labels",
    "version",
    "concurrency",
    "runNamespace",
    "env",
    "triggers",
    "stages",
    "pipelines",
    "releases",
    "releaseTemplates",
    "bots",
)


class Parser:
    """Reads the nodes of one manifest."""

    def __init__(self, findings: Findings) -> None:
        self._nodes = nodes = Nodes(findings)
        self._findings = findings
        text, texts = partial(nodes.text, strict=False), partial(nodes.texts, strict=False)
        self._stage_readers: dict[str, Reader] = {
            "image": text,
            "shell": text,
            "workDir": text,
            "commands": texts,
            "runCommandsInForeground": nodes.boolean,
            "when": text,
            "env": partial(nodes.table, strict=False),
            "autoInjected": nodes.boolean,
            "parallelStages": self._inner_stages,
            "services": self._services,
        }
        self._service_readers: dict[str, Reader] = {
            "name": text,
            "image": text,
            "shell": text,
            "commands": texts,
            "runCommandsInForeground": nodes.boolean,
            "multiStage": nodes.boolean,
            "when": text,
            "env": partial(nodes.table, strict=False),
            "readiness": self._probe,
            "readinessProbe": self._probe,
        }
        self._probe_readers: dict[str, Reader] = {
            "httpGet": self._http_get,
            "exec": partial(self._flat, kind=model.Exec, strict=False),
            "timeoutSeconds": nodes.integer,
            "path": text,
            "port": nodes.integer,
            "protocol": text,
            "hostname": text,
        }
        self._job_readers: dict[str, Reader] = {
            "builder": partial(self._builder, strict=False),
            "clone": nodes.boolean,
            "triggers": partial(self._triggers, strict=False),
            "stages": self._stages,
        }
        self._release_readers: dict[str, Reader] = {
            "name": text,
            "actions": self._actions,
            "template": text,
            **self._job_readers,
        }

    def manifest(self, root: Node) -> model.Manifest:
        """Return what the root node says; what is wrong with it is in the findings."""
        fields = self._nodes.fields(root, "", MANIFEST_KEYS, strict=True)
        readers: dict[str, Reader] = {
            "archived": self._nodes.boolean,
            "builder": partial(self._builder, strict=True),
            "labels": partial(self._nodes.table, strict=True),
            "version": self._version,
            "concurrency": partial(self._flat, kind=model.Concurrency, strict=True),
            "runNamespace": self._run_namespace,
            "env": partial(self._nodes.table, strict=True),
            "triggers": partial(self._triggers, strict=True),
            "stages": self._stages,
            "releaseTemplates": self._release_list,
            "bots": self._bots,
        }
        given = self._read(fields, "", readers)
        if not given.get("stages") and "pipelines" in fields:
            given["stages"] = self._stages(fields["pipelines"], "pipelines")
        if "pipelines" in fields:
            self._findings.warning("deprecated", "pipelines", "an old name; write stages instead")
        templates = {template.name: template for template in given.get("release_templates", ())}
        if "releases" in fields:
            given["releases"] = tuple(
                self._with_template(release, templates)
                for release in self._release_list(fields["releases"], "releases")
            )
        return model.Manifest(**given)

    def trigger(self, node: Node, path: str, *, strict: bool) -> WrittenTrigger:
        """Return one trigger."""
        fields = self._nodes.fields(node, path, ("name", *FILTERS, *ACTIONS), strict=strict)
        parts = {
            key: self._flat(fields[key], f"{path}.{key}", kind=kind, strict=strict)
            for key, kind in (FILTERS | ACTIONS).items()
            if key in fields and not is_null(fields[key])
        }
        return WrittenTrigger(
            name=self._nodes.text(fields["name"], f"{path}.name", strict=strict) if "name" in fields else "",
            filters=tuple(part for key, part in parts.items() if key in FILTERS),
            actions=tuple(part for key, part in parts.items() if key in ACTIONS),
        )

    def version(self, node: Node) -> model.Version:
        """Return what stands below `version`."""
        return self._version(node, "version")

    def _flat(self, node: Node, path: str, *, kind: Any, strict: bool) -> Any:
        """Return a part of which all fields are texts, lists of texts, whole numbers, or true or false."""
        names = _fields(kind)
        readers: dict[Any, Reader] = {
            str: partial(self._nodes.text, strict=strict),
            tuple[str, ...]: partial(self._nodes.texts, strict=strict),
            bool: self._nodes.boolean,
            int: self._nodes.integer,
        }
        given: dict[str, Any] = {}
        for key, value in self._nodes.fields(node, path, tuple(names), strict=strict).items():
            name, type_ = names[key]
            given[name] = readers[type_](value, f"{path}.{key}")
        return kind(**given)

    def _builder(self, node: Node, path: str, *, strict: bool) -> model.Builder:
        builder: model.Builder = self._flat(node, path, kind=model.Builder, strict=strict)
        return builder

    def _version(self, node: Node, path: str) -> model.Version:
        fields = self._nodes.fields(node, path, ("semver", "custom"), strict=True)
        readers: dict[str, Reader] = {
            "semver": self._semver,
            "custom": partial(self._flat, kind=model.Custom, strict=True),
        }
        return model.Version(**self._read(fields, path, readers))

    def _run_namespace(self, node: Node, path: str) -> model.RunNamespace:
        readers: dict[str, Reader] = {
            "ephemeral": self._nodes.boolean,
            "scaleToZero": self._nodes.boolean,
            "disposal": partial(self._flat, kind=model.Disposal, strict=True),
        }
        fields = self._nodes.fields(node, path, tuple(readers), strict=True)
        return model.RunNamespace(**self._read(fields, path, readers))

    def _semver(self, node: Node, path: str) -> model.Semver:
        text = partial(self._nodes.text, strict=True)
        readers: dict[str, Reader] = {
            "major": self._nodes.integer,
            "minor": self._nodes.integer,
            "patch": text,
            "labelTemplate": text,
            "releaseBranch": self._text_or_texts,
        }
        given = self._read(self._nodes.fields(node, path, tuple(readers), strict=True), path, readers)
        return model.Semver(**{name: value for name, value in given.items() if value})

    def _text_or_texts(self, node: Node, path: str) -> tuple[str, ...]:
        if isinstance(node, SequenceNode):
            return self._nodes.texts(node, path, strict=True)
        text = self._nodes.text(node, path, strict=True)
        return (text,) if text else ()

    def _triggers(self, node: Node, path: str, *, strict: bool) -> tuple[WrittenTrigger, ...]:
        return tuple(self.trigger(item, full, strict=strict) for full, item in self._nodes.items(node, path))

    def _stages(self, node: Node, path: str) -> tuple[model.Stage, ...]:
        return tuple(self._stage(name, body, f"{path}.{name}") for name, body in self._nodes.named(node, path))

    def _stage(self, name: str, node: Node, path: str) -> model.Stage:
        given = self._with_properties(node, path, self._stage_readers, known=frozenset({"name"}))
        return model.Stage(**(given | {"name": name}))

    def _inner_stages(self, node: Node, path: str) -> tuple[model.Stage, ...]:
        """Return stages that run at once. Here, a property `name` wins over the key."""
        stages = []
        for name, body in self._nodes.named(node, path):
            stage = self._stage(name, body, f"{path}.{name}")
            stages.append(msgspec.structs.replace(stage, name=self._name(body, f"{path}.{name}") or name))
        return tuple(stages)

    def _services(self, node: Node, path: str) -> tuple[model.Service, ...]:
        return tuple(
            model.Service(**self._with_properties(item, full, self._service_readers))
            for full, item in self._nodes.items(node, path)
        )

    def _probe(self, node: Node, path: str) -> model.Probe:
        fields = self._nodes.fields(node, path, tuple(self._probe_readers), strict=False)
        return model.Probe(**self._read(fields, path, self._probe_readers))

    def _http_get(self, node: Node, path: str) -> model.HttpGet:
        text = partial(self._nodes.text, strict=False)
        readers: dict[str, Reader] = {"path": text, "port": self._nodes.integer, "host": text, "scheme": text}
        fields = self._nodes.fields(node, path, tuple(readers), strict=False)
        return model.HttpGet(**self._read(fields, path, readers))

    def _release_list(self, node: Node, path: str) -> tuple[model.Release, ...]:
        return tuple(self._release(name, body, f"{path}.{name}") for name, body in self._nodes.named(node, path))

    def _release(self, name: str, node: Node, path: str) -> model.Release:
        """Return a release or a template. A property `name` wins over the key."""
        fields = self._nodes.fields(node, path, tuple(self._release_readers), strict=False)
        given = self._read(fields, path, self._release_readers)
        return model.Release(**(given | {"name": given.get("name") or name}))

    def _with_template(self, release: model.Release, templates: dict[str, model.Release]) -> model.Release:
        """Return the release with every section that it does not itself set from its template."""
        template = templates.get(release.template)
        if not release.template:
            return release
        if template is None:
            known = f"; there are {', '.join(templates)}" if templates else "; there are none"
            path = f"releases.{release.name}.template"
            self._findings.warning("unknown-template", path, f"no template {release.template!r}{known}")
            return release
        return msgspec.structs.replace(
            release,
            builder=release.builder or template.builder,
            clone=release.clone or template.clone,
            actions=release.actions or template.actions,
            triggers=release.triggers or template.triggers,
            stages=release.stages or template.stages,
        )

    def _actions(self, node: Node, path: str) -> tuple[model.Action, ...]:
        readers: dict[str, Reader] = {"name": partial(self._nodes.text, strict=False), "hideBadge": self._nodes.boolean}
        return tuple(
            model.Action(**self._read(self._nodes.fields(item, full, tuple(readers), strict=False), full, readers))
            for full, item in self._nodes.items(node, path)
        )

    def _bots(self, node: Node, path: str) -> tuple[model.Bot, ...]:
        bots = []
        for name, body in self._nodes.named(node, path):
            full = f"{path}.{name}"
            fields = self._nodes.fields(body, full, ("name", *self._job_readers), strict=False)
            bots.append(model.Bot(name=name, **self._read(fields, full, self._job_readers)))
        return tuple(bots)

    def _with_properties(
        self, node: Node, path: str, readers: dict[str, Reader], *, known: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Return the fields of a stage or service; keys that are not of the language are properties of its own."""
        fields: dict[str, Node] = {}
        for name, value, key in self._nodes.entries(node, path, strict=False):
            self._nodes.put(fields, name, value, key, path, strict=False)
        given = self._read(fields, path, readers)
        others = {name: value for name, value in fields.items() if name not in readers and name not in known}
        given["custom"] = {name: self._nodes.tree(value, f"{path}.{name}") for name, value in others.items()}
        return given

    def _name(self, node: Node, path: str) -> str:
        pairs = node.value if isinstance(node, MappingNode) else []
        names = [value for key, value in pairs if key.value == "name"]
        return self._nodes.text(names[-1], f"{path}.name", strict=False) if names else ""

    @staticmethod
    def _read(fields: dict[str, Node], path: str, readers: dict[str, Reader]) -> dict[str, Any]:
        """Return the values of the fields that are there and not nothing, by their names in the model."""
        return {
            _field_name(name): readers[name](value, f"{path}.{name}" if path else name)
            for name, value in fields.items()
            if name in readers and not is_null(value)
        }


@cache
def _fields(kind: Any) -> dict[str, tuple[str, Any]]:
    """Return the name and the type of each field of a part, by its key."""
    return {_key(name): (name, type_) for name, type_ in get_type_hints(kind).items()}


def _key(name: str) -> str:
    """Return `label_template` as `labelTemplate`."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


@cache
def _field_name(key: str) -> str:
    """Return `workDir` as `work_dir`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
