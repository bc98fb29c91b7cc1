"""One line of JSON for a manifest, made for comparing thousands with another implementation. Pure.

What is empty, zero or false is left out, but for the version; `self` is a made-up pipeline, the version that of a
made-up build.
"""

import json
from typing import Any

from estafette_common.manifest import own, versions, writing
from estafette_common.manifest.model import Manifest
from estafette_common.manifest.reading import check

PIPELINE = "github.com/o/r"
COUNTER = 7
REVISION = "abcdef0123"
BRANCHES = ("master", "feature/X_y")

REASON_LENGTH = 200


def line(name: str, data: bytes) -> str:
    """Return `file` with `manifest` and `version`, or with `error`."""
    try:
        checked = check(data.decode())
    except UnicodeDecodeError as error:
        return _rejected(name, f"not UTF-8 (byte {error.start})")
    if checked.manifest is None:
        return _rejected(name, str(checked.errors[0]))
    told = {"file": name, "manifest": _pruned_tree(checked.manifest), "version": _versions(checked.manifest)}
    return json.dumps(told, sort_keys=True)


def _rejected(name: str, reason: str) -> str:
    told = " ".join(reason.split())[:REASON_LENGTH]
    return json.dumps({"error": f"rejected: {told}", "file": name}, sort_keys=True)


def _pruned_tree(manifest: Manifest) -> dict[str, Any]:
    tree = writing.tree(own.replace_self(manifest, PIPELINE))
    return {key: value if key == "version" else _pruned(value) for key, value in tree.items()}


def _pruned(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _pruned(value) for key, value in node.items() if value}
    if isinstance(node, list):
        return [_pruned(item) for item in node]
    return node


def _versions(manifest: Manifest) -> dict[str, str]:
    return {
        branch: versions.compute(manifest.version, counter=COUNTER, branch=branch, revision=REVISION).version
        for branch in BRANCHES
    }
