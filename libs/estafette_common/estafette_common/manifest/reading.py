"""From the text of `.estafette.yaml` to a manifest, or to everything that is wrong with it."""

import difflib
from collections.abc import Callable, Iterator
from typing import Any

from estafette_common.manifest import when
from estafette_common.manifest.model import Custom, Manifest, Semver, Stage
from estafette_common.manifest.scalars import as_text, resolve
from estafette_common.manifest.versions import PLACEHOLDERS, unknown_placeholder
from estafette_common.manifest.yaml import (
    DEEPEST,
    MOST_NODES,
    Finding,
    ManifestError,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    compose,
    finding,
)

READ_HERE = ("labels", "version", "env", "stages", "pipelines")
READ_LATER = ("archived", "builder", "triggers", "releases", "releaseTemplates", "bots")
"""Keys of the language that are accepted and have no effect yet."""

MOST_FINDINGS = 100
"""Told at once; more help nobody."""

QUOTED = 100
"""Characters of a text that a finding repeats."""

LARGEST_NUMBER = 2**31

MULTIPLE_PARTS = {"parallelStages", "services"}


def read(text: str) -> Manifest:
    """Return the manifest of a text with its defaults; ManifestError holds every finding, in the order of the file."""
    return _Reader().manifest(compose(text))


class _Reader:
    """Walks the nodes of one manifest and collects what is wrong."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._expanded = 0

    def manifest(self, root: Node | None) -> Manifest:
        given: dict[str, Any] = {}
        nodes: dict[str, Node] = {}
        if root is not None and not _is_null(root):
            nodes = dict(self._keys(root, "", known=(*READ_HERE, *READ_LATER)))
        if "labels" in nodes:
            given["labels"] = self._texts(nodes["labels"], "labels", literally=True)
        if "env" in nodes:
            given["env"] = self._texts(nodes["env"], "env", literally=True)
        if "version" in nodes and not _is_null(nodes["version"]):
            given["version"] = self._version(nodes["version"])
        stages = self._stages(nodes.get("stages")) or self._stages(nodes.get("pipelines"))
        if not stages and not self._findings:
            self._wrong(root, "stages", 'missing; write at least one stage with an image, as in "stages: {build: …}"')
        if self._findings:
            ordered = sorted(self._findings, key=lambda found: (found.line, found.column))
            raise ManifestError(tuple(ordered[:MOST_FINDINGS]))
        return Manifest(stages=tuple(stages), **given)

    def _version(self, node: Node) -> Semver | Custom:
        kinds = dict(self._keys(node, "version", known=("semver", "custom")))
        custom, semver = kinds.get("custom"), kinds.get("semver")
        if custom is not None and not _is_null(custom):
            fields = dict(self._keys(custom, "version.custom", known=("labelTemplate",)))
            template = self._template(fields.get("labelTemplate"), "version.custom.labelTemplate")
            return Custom(**({"label_template": template} if template else {}))
        if semver is None or _is_null(semver):
            return Semver()
        return self._semver(semver)

    def _semver(self, node: Node) -> Semver:
        where = "version.semver"
        known = ("major", "minor", "patch", "labelTemplate", "releaseBranch")
        given: dict[str, Any] = {}
        for key, value in self._keys(node, where, known=known):
            path = f"{where}.{key}"
            if _is_null(value):
                continue
            if key in {"major", "minor"}:
                given[key] = self._integer(value, path)
            elif key == "releaseBranch":
                branches = self._branches(value, path)
                given |= {"release_branch": branches} if any(branches) else {}
            else:
                template = self._template(value, path)
                given |= {"patch" if key == "patch" else "label_template": template} if template else {}
        return Semver(**given)

    def _template(self, node: Node | None, path: str) -> str:
        text = self._text(node, path, literally=True) if node is not None else ""
        if (name := unknown_placeholder(text)) is not None:
            known = ", ".join(f"{{{{{each}}}}}" for each in PLACEHOLDERS)
            self._wrong(node, path, f"unknown placeholder {{{{{name}}}}}; there are {known}")
        return text

    def _branches(self, node: Node, path: str) -> tuple[str, ...]:
        if isinstance(node, SequenceNode):
            return tuple(self._text(item, f"{path}[{place}]", literally=True) for place, item in enumerate(node.value))
        return (self._text(node, path, literally=True),)

    def _integer(self, node: Node, path: str) -> int:
        value = resolve(node) if isinstance(node, ScalarNode) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST_NUMBER:
            self._wrong(node, path, 'not a whole number; write it without quotes, as in "major: 1"')
            return 0
        return int(value)

    def _stages(self, node: Node | None) -> list[Stage]:
        if node is None or _is_null(node):
            return []
        seen: set[str] = set()
        stages = []
        for name, body, key in self._entries(node, "stages"):
            if name in seen:
                self._wrong(key, f"stages.{name}", "a stage of this name exists already; give each its own name")
            seen.add(name)
            stages.append(self._stage(name, body, key))
        return stages

    def _stage(self, name: str, body: Node, key: Node) -> Stage:
        path = f"stages.{name}"
        fields: dict[str, Node] = {}
        if not _is_null(body):
            fields = {each: value for each, value, _ in self._entries(body, path)}
        for part in MULTIPLE_PARTS & fields.keys():
            self._wrong(fields[part], f"{path}.{part}", "not supported yet; write its stages one after the other")
        given: dict[str, Any] = {}
        readers: dict[str, tuple[str, Callable[[Node, str], Any]]] = {
            "image": ("image", self._plain),
            "shell": ("shell", self._plain),
            "workDir": ("work_dir", self._plain),
            "when": ("when", self._when),
            "commands": ("commands", self._list),
            "env": ("env", self._texts),
            "autoInjected": ("auto_injected", self._boolean),
        }
        for each, (field, reader) in readers.items():
            if each in fields and not _is_null(fields[each]) and (value := reader(fields[each], f"{path}.{each}")):
                given[field] = value
        if "image" not in given and not MULTIPLE_PARTS & fields.keys():
            self._wrong(key, f"{path}.image", 'missing; write "image: …", as in "image: golang:1.22"')
        others = fields.keys() - readers.keys() - MULTIPLE_PARTS - {"name", "runCommandsInForeground"}
        return Stage(
            name=name, properties={each: self._tree(fields[each], f"{path}.{each}") for each in sorted(others)}, **given
        )

    def _when(self, node: Node, path: str) -> str:
        text = self._text(node, path)
        try:
            if text.strip():
                when.parse(text)
        except when.WhenError as error:
            self._wrong(node, path, f"{error.reason} (at character {error.column} of {text[:QUOTED]!r})")
        return text

    def _plain(self, node: Node, path: str) -> str:
        return self._text(node, path)

    def _list(self, node: Node, path: str) -> tuple[str, ...]:
        if not isinstance(node, SequenceNode):
            self._wrong(node, path, 'not a list; begin each line with "- "')
            return ()
        return tuple(self._text(item, f"{path}[{place}]") for place, item in enumerate(node.value))

    def _boolean(self, node: Node, path: str) -> bool:
        value = resolve(node) if isinstance(node, ScalarNode) else None
        if not isinstance(value, bool):
            self._wrong(node, path, "neither true nor false; write it without quotes")
            return False
        return value

    def _texts(self, node: Node, path: str, *, literally: bool = False) -> dict[str, str]:
        if _is_null(node):
            return {}
        texts: dict[str, str] = {}
        for name, value, key in self._entries(node, path):
            if literally and name in texts:
                self._wrong(key, f"{path}.{name}", "given twice; keep one")
            texts[name] = self._text(value, f"{path}.{name}", literally=literally)
        return texts

    def _text(self, node: Node, path: str, *, literally: bool = False) -> str:
        if not self._count(node, path):
            return ""
        if not isinstance(node, ScalarNode):
            self._wrong(node, path, "not a text but a list or map; put quotes around it if it is meant as text")
            return ""
        if "\0" in node.value:
            self._wrong(node, path, "holds a NUL character, which no variable and no command can")
            return ""
        if literally:
            return "" if _is_null(node) else str(node.value)
        return as_text(resolve(node))

    def _count(self, node: Node, path: str) -> bool:
        """Return whether there is still room for what aliases multiply; tells once when there is none."""
        self._expanded += 1
        if self._expanded == MOST_NODES:
            self._wrong(node, path, "grows without end by its aliases; write it out")
        return self._expanded < MOST_NODES

    def _keys(self, node: Node, path: str, *, known: tuple[str, ...]) -> Iterator[tuple[str, Node]]:
        """Give the entries of a map of which every key must be known and stand once."""
        seen: set[str] = set()
        for name, value, key in self._entries(node, path):
            full = f"{path}.{name}" if path else name
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
                self._wrong(key, full, f"unknown key{hint}")
            elif name in seen:
                self._wrong(key, full, "given twice; keep one")
            else:
                seen.add(name)
                yield name, value

    def _entries(self, node: Node, path: str) -> Iterator[tuple[str, Node, Node]]:
        if not isinstance(node, MappingNode):
            self._wrong(node, path or "the manifest", 'not a map; write keys and values, as in "name: value"')
            return
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._wrong(key, path, "a key that is a list or map; use a text")
                continue
            if "\0" in key.value:
                self._wrong(key, path, "a key that holds a NUL character")
                continue
            yield str(key.value), value, key

    def _tree(self, node: Node, path: str, depth: int = 0) -> Any:
        """Return a custom property as JSON has it: texts, whole numbers, true and false, lists, maps."""
        if depth > DEEPEST:
            self._expanded = max(self._expanded, MOST_NODES - 1)
        if not self._count(node, path):
            return None
        if isinstance(node, SequenceNode):
            return [self._tree(item, path, depth + 1) for item in node.value]
        if isinstance(node, MappingNode):
            return {name: self._tree(value, path, depth + 1) for name, value, _ in self._entries(node, path)}
        value = resolve(node) if isinstance(node, ScalarNode) else None
        return value if isinstance(value, bool | int) else as_text(value)

    def _wrong(self, node: Node | None, path: str, message: str) -> None:
        self._findings.append(finding(node.start_mark if node is not None else None, path, message))


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and resolve(node) is None
