"""The draft format of 2017, put into today's words. No released parser took it; a few files are still around.

A manifest is a draft when it has `pipeline` and neither `stages` nor `pipelines`: otherwise these keys are mistakes.
"""

import re

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from estafette_common.manifest.findings import Findings
from estafette_common.manifest.nodes import is_null
from estafette_common.manifest.yaml import DEEPEST, MOST_NODES

TEXT, MAP = "tag:yaml.org,2002:str", "tag:yaml.org,2002:map"

LABEL = re.compile(r"\$(?:\{LABEL_(\w+)\}|LABEL_(\w+))")
VERSION = re.compile(r"\$(?:\{VERSION\}|VERSION\b)")
COUNTER = re.compile(r"\$(?:\{ESTAFETTE_BUILD_COUNTER\}|ESTAFETTE_BUILD_COUNTER\b)")

IMAGES = {
    "estafette/dockerizer": "extensions/docker:stable",
    "estafette/gke-deploy": "extensions/gke:stable",
    "estafette/slack-build-status": "extensions/slack-build-status:stable",
}
INJECTED = "estafette/git-build-status"

STATUSES = {"failure": "failed", "success": "succeeded"}

RELEASE_STAGE = "deploy"

DEEPEST_VERSION = 2
"""`version.semver.patch`"""

_Entries = list[tuple[Node, Node]]


def modernise(root: Node, findings: Findings) -> Node:
    """Return the root of a draft in today's format, with a warning for each old construct; others as they are."""
    if not isinstance(root, MappingNode):
        return root
    keys = {key.value for key, _ in root.value if isinstance(key, ScalarNode)}
    if "pipeline" not in keys or keys & {"stages", "pipelines"}:
        return root
    return _Draft(findings).manifest(root)


class _Draft:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._visited = 0

    def manifest(self, root: MappingNode) -> MappingNode:
        entries: _Entries = []
        for key, value in root.value:
            match key.value:
                case "label":
                    entries.append((self._renamed(key, "labels"), value))
                case "pipeline":
                    entries.append((self._renamed(key, "stages"), self._stages(value)))
                case "deployment":
                    entries.append((self._renamed(key, "releases"), self._releases(value)))
                case "version":
                    entries.append((key, self._version(value)))
                case _:
                    entries.append((key, value))
        return _like(root, entries)

    def _stages(self, node: Node) -> Node:
        if not isinstance(node, MappingNode):
            return node
        entries: _Entries = []
        for key, body in node.value:
            if _image(body).partition(":")[0] == INJECTED:
                self._note(f"stages.{key.value}", "the status is reported by itself; leave this stage out", key)
            else:
                entries.append((key, self._stage(body, f"stages.{key.value}")))
        return _like(node, entries)

    def _stage(self, node: Node, path: str) -> Node:
        if not isinstance(node, MappingNode):
            return node
        entries: _Entries = []
        for key, value in node.value:
            full = f"{path}.{key.value}"
            if key.value == "when" and isinstance(value, MappingNode):
                entries.append((key, self._when(value, full)))
            elif key.value == "image" and isinstance(value, ScalarNode):
                entries.append((key, self._image(value, full)))
            else:
                entries.append((key, self._variables(value, full)))
        return _like(node, entries)

    def _when(self, node: MappingNode, path: str) -> Node:
        """Return `{branch: master, status: [failure]}` as an expression. Without a status, it means success."""
        conditions: dict[str, str] = {}
        for key, value in node.value:
            items = value.value if isinstance(value, SequenceNode) else [value]
            if not all(isinstance(each, ScalarNode) for each in (key, *items)):
                return node
            words = [STATUSES.get(item.value, item.value) for item in items]
            told = " || ".join(f"{key.value} == {_quoted(word)}" for word in words)
            conditions[key.value] = f"({told})" if len(words) > 1 else told
        conditions.setdefault("status", "status == 'succeeded'")
        parts = [conditions.pop("status"), *conditions.values()]
        expression = " && ".join(parts)
        self._note(path, f"a map; write {expression}", node)
        return _scalar(expression, node)

    def _image(self, node: ScalarNode, path: str) -> Node:
        replaced = IMAGES.get(node.value.partition(":")[0])
        if replaced is None:
            return self._variables(node, path)
        self._note(path, f"an old image; use {replaced}", node)
        return _scalar(replaced, node)

    def _releases(self, node: Node) -> Node:
        """Return targets, each of which is one stage in a draft, with the variables that all targets share."""
        if not isinstance(node, MappingNode):
            return node
        shared = next((value for key, value in node.value if key.value == "env"), None)
        if shared is not None:
            self._note("releases.env", "shared variables; write them in the stages that need them", shared)
        entries: _Entries = []
        for key, body in node.value:
            if key.value == "env":
                continue
            if not isinstance(body, MappingNode):
                entries.append((key, body))
                continue
            self._note(f"releases.{key.value}", f"a stage; put it below stages.{RELEASE_STAGE}", key)
            stage = _with_env(self._stage(body, f"releases.{key.value}"), shared)
            stages = _mapping([(_scalar(RELEASE_STAGE, key), stage)], body)
            entries.append((key, _mapping([(_scalar("stages", key), stages)], body)))
        return _like(node, entries)

    def _version(self, node: Node, depth: int = 0) -> Node:
        if isinstance(node, ScalarNode):
            replaced = COUNTER.sub("{{auto}}", node.value)
            if replaced != node.value:
                self._note("version", f"{node.value} is not replaced; write {replaced}", node)
                return _scalar(replaced, node)
        if isinstance(node, MappingNode) and depth < DEEPEST_VERSION:
            return _like(node, [(key, self._version(value, depth + 1)) for key, value in node.value])
        return node

    def _variables(self, node: Node, path: str) -> Node:
        """Return a value with the names that variables have today; what aliases multiply stays as it is."""
        self._visited += 1
        if self._visited > MOST_NODES or path.count(".") > DEEPEST:
            return node
        if isinstance(node, SequenceNode):
            items = [self._variables(item, f"{path}.") for item in node.value]
            return SequenceNode(node.tag, items, node.start_mark, node.end_mark, node.flow_style)
        if isinstance(node, MappingNode):
            return _like(node, [(key, self._variables(value, f"{path}.{key.value}")) for key, value in node.value])
        if not isinstance(node, ScalarNode):
            return node
        text = LABEL.sub(lambda found: f"${{ESTAFETTE_LABEL_{found[1] or found[2]}}}", node.value)
        text = VERSION.sub("${ESTAFETTE_BUILD_VERSION}", text)
        if text == node.value:
            return node
        self._note(path, "$LABEL_… and $VERSION are ${ESTAFETTE_LABEL_…} and ${ESTAFETTE_BUILD_VERSION} now", node)
        return ScalarNode(TEXT, text, node.start_mark, node.end_mark, node.style)

    def _renamed(self, key: Node, name: str) -> ScalarNode:
        self._note(str(key.value), f"an old name; write {name}", key)
        return _scalar(name, key)

    def _note(self, path: str, message: str, node: Node) -> None:
        self._findings.warning("deprecated", path.rstrip("."), message, at=node.start_mark)


def _with_env(stage: Node, shared: Node | None) -> Node:
    """Return a stage with the shared variables before its own, which win."""
    if not isinstance(stage, MappingNode) or not isinstance(shared, MappingNode):
        return stage
    own = next((value for key, value in stage.value if key.value == "env"), None)
    mine = own.value if isinstance(own, MappingNode) else []
    names = {key.value for key, _ in mine}
    env = _mapping([*((key, value) for key, value in shared.value if key.value not in names), *mine], shared)
    others = [(key, value) for key, value in stage.value if key.value != "env"]
    return _like(stage, [*others, (_scalar("env", shared), env)])


def _image(body: Node) -> str:
    if not isinstance(body, MappingNode):
        return ""
    return next((str(value.value) for key, value in body.value if key.value == "image" and not is_null(value)), "")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _scalar(text: str, at: Node) -> ScalarNode:
    return ScalarNode(TEXT, text, at.start_mark, at.end_mark, style="'")


def _mapping(entries: _Entries, at: Node) -> MappingNode:
    return MappingNode(MAP, entries, at.start_mark, at.end_mark)


def _like(node: MappingNode, entries: _Entries) -> MappingNode:
    return MappingNode(node.tag, entries, node.start_mark, node.end_mark, node.flow_style)
