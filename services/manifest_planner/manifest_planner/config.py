"""The file of a server's configuration: credentials, the images that it trusts with them, where containers run.

It has the shape of the reference's, so that one file can be used as it is; its other sections have no effect here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estafette_common.jobs.plan import OwnEngine
from estafette_common.manifest import secrets
from estafette_common.manifest.findings import Findings, ManifestError
from estafette_common.manifest.nodes import Nodes, is_null
from estafette_common.manifest.scalars import resolve
from estafette_common.manifest.trust import Credential, TrustedImage, path_of
from estafette_common.manifest.yaml import compose
from estafette_common.triggers import patterns
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from manifest_planner.control import EVERYTHING, Control, ControlError
from manifest_planner.control import read as read_control

ELSEWHERE = (
    "auth",
    "catalog",
    "database",
    "integrations",
    "jobs",
    "manifestPreferences",
    "queue",
)
"""Sections of the reference's file that are set otherwise here, or not at all."""

SECTIONS = ("apiServer", "credentials", "trustedImages", "clearDefaultTrustedImages", "buildControl", *ELSEWHERE)

ENGINES = "dockerConfigPerOperatingSystem"
"""Of `apiServer`, whose other parts are set otherwise here."""

OWN_ENGINE, SHARED_ENGINE = "dind", "dod"

ALLOW_LISTS = {
    "allowedPipelines": "allowed_pipelines",
    "allowedTrustedImages": "allowed_trusted_images",
    "allowedBranches": "allowed_branches",
}
FORMER_NAMES = {"whitelistedPipelines": "allowedPipelines", "whitelistedTrustedImages": "allowedTrustedImages"}
"""Of the reference, until 2021. Taken for just another property, they would let everybody in."""

RIGHTS = {
    "runPrivileged": "run_privileged",
    "runDocker": "run_docker",
    "allowCommands": "allow_commands",
    "allowNotifications": "allow_notifications",
}

BY_DEFAULT = (
    TrustedImage(
        path="extensions/git-clone",
        injected_credential_types=("bitbucket-api-token", "github-api-token", "cloudsource-api-token"),
    ),
    TrustedImage(path="extensions/github-status", injected_credential_types=("github-api-token",)),
    TrustedImage(path="extensions/github-release", injected_credential_types=("github-api-token",)),
    TrustedImage(path="extensions/bitbucket-status", injected_credential_types=("bitbucket-api-token",)),
    TrustedImage(
        path="extensions/docker",
        run_docker=True,
        allow_notifications=True,
        injected_credential_types=("container-registry", "github-api-token"),
    ),
    TrustedImage(path="extensions/gke", injected_credential_types=("kubernetes-engine",)),
    TrustedImage(path="extensions/helm", injected_credential_types=("kubernetes-engine",)),
    TrustedImage(path="extensions/cloud-function", injected_credential_types=("kubernetes-engine",)),
    TrustedImage(path="bsycorp/kind", run_privileged=True),
)
"""Images that the reference trusts unless its file says something else about them."""


class ConfigError(Exception):
    """The file cannot be used; the message has a line for each reason, with its place."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What a server knows of credentials and images, and what it lets be built. Secrets are sealed."""

    credentials: tuple[Credential, ...] = ()
    trusted_images: tuple[TrustedImage, ...] = ()
    own_engine: OwnEngine | None = None
    """Of each job; none for that of its builder's machine."""
    control: Control = EVERYTHING
    """What may be built and released."""


NOTHING_TRUSTED = ServerConfig()


def load(file: Path | None, keys: secrets.Keys) -> ServerConfig:
    """Return what a file says, for a server with these keys; without a file, that nothing is trusted. ConfigError."""
    if file is None:
        return NOTHING_TRUSTED
    try:
        text = file.read_text()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    return read(text, keys, name=str(file))


def read(text: str, keys: secrets.Keys, *, name: str) -> ServerConfig:
    """Return what the text of a file says; `name` is that of the file. Raises ConfigError."""
    findings = Findings()
    try:
        root = compose(text)
        config = ServerConfig(trusted_images=BY_DEFAULT) if root is None else _Reader(findings, keys).config(root)
    except ManifestError as error:
        found = error.findings
    else:
        found = findings.ordered()
    if found:
        raise ConfigError("\n".join(f"{name}:{each.line}:{each.column}: {_said(each)}" for each in found))
    return config


def _said(finding: Any) -> str:
    return f"{finding.path}: {finding.message}" if finding.path else str(finding.message)


class _Reader:
    """Reads nodes of one file."""

    def __init__(self, findings: Findings, keys: secrets.Keys) -> None:
        self._nodes = Nodes(findings)
        self._findings = findings
        self._keys = keys

    def config(self, root: Node) -> ServerConfig:
        """Return what the file says."""
        fields = self._nodes.fields(root, "", SECTIONS, strict=True)
        images = [self._image(item, path) for path, item in self._items(fields, "trustedImages")]
        clear = fields.get("clearDefaultTrustedImages")
        if clear is None or not self._nodes.boolean(clear, "clearDefaultTrustedImages"):
            known = {image.path for image in images}
            images += [image for image in BY_DEFAULT if image.path not in known]
        credentials = [self._credential(item, path) for path, item in self._items(fields, "credentials")]
        own_engine = self._own_engine(fields["apiServer"]) if "apiServer" in fields else None
        control = self._control(fields["buildControl"]) if "buildControl" in fields else EVERYTHING
        return ServerConfig(tuple(credentials), tuple(images), own_engine, control)

    def _control(self, node: Node) -> Control:
        try:
            return read_control(self._tree(node, "buildControl"))
        except ControlError as error:
            self._findings.error("build-control", "buildControl", str(error), at=node.start_mark)
            return EVERYTHING

    def _own_engine(self, node: Node) -> OwnEngine | None:
        """Return what is said about the engine of Linux, if that is one for each job."""
        path = f"apiServer.{ENGINES}"
        for name, systems, _ in self._nodes.entries(node, "apiServer", strict=True):
            for system, engine, _ in self._nodes.entries(systems, path, strict=True) if name == ENGINES else ():
                if system == "linux":
                    return self._engine(engine, f"{path}.linux")
        return None

    def _engine(self, node: Node, path: str) -> OwnEngine | None:
        known = ("runType", "mtu", "bip", "networks", "registryMirror")
        fields = self._nodes.fields(node, path, known, strict=True)
        kind, bip, mirror = (
            self._nodes.text(fields[key], f"{path}.{key}", strict=True) if key in fields else ""
            for key in ("runType", "bip", "registryMirror")
        )
        if kind not in {OWN_ENGINE, SHARED_ENGINE}:
            self._findings.error("run-type", f"{path}.runType", f"must be {OWN_ENGINE} or {SHARED_ENGINE}")
        mtu = self._nodes.integer(fields["mtu"], f"{path}.mtu") if "mtu" in fields else 0
        return OwnEngine(mtu=mtu, bip=bip, registry_mirror=mirror) if kind == OWN_ENGINE else None

    def _items(self, fields: dict[str, Node], section: str) -> Iterator[tuple[str, Node]]:
        if section in fields:
            yield from self._nodes.items(fields[section], section)

    def _image(self, node: Node, path: str) -> TrustedImage:
        known = ("path", "injectedCredentialTypes", "allowedPipelines", "whitelistedPipelines", *RIGHTS)
        fields = self._renamed(self._nodes.fields(node, path, known, strict=True), path)
        name = self._required(fields, "path", path)
        if name != path_of(name):
            hint = f"images are trusted by name, whatever their tag or digest; write {path_of(name)!r}"
            self._findings.error("path", f"{path}.path", hint)
        types = fields.get("injectedCredentialTypes")
        return TrustedImage(
            path=name,
            injected_credential_types=()
            if types is None
            else self._nodes.texts(types, f"{path}.injectedCredentialTypes", strict=True),
            allowed_pipelines=self._pattern(fields, "allowedPipelines", path),
            **{
                field: self._nodes.boolean(fields[key], f"{path}.{key}")
                for key, field in RIGHTS.items()
                if key in fields
            },
        )

    def _credential(self, node: Node, path: str) -> Credential:
        fields: dict[str, Node] = {}
        for name, value, key in self._nodes.entries(node, path, strict=True):
            self._nodes.put(fields, name, value, key, path, strict=True)
        fields = self._renamed(fields, path)
        own = {"name", "type", *ALLOW_LISTS}
        return Credential(
            name=self._required(fields, "name", path),
            type=self._required(fields, "type", path),
            additional_properties={
                name: self._tree(value, f"{path}.{name}") for name, value in fields.items() if name not in own
            },
            **{field: self._pattern(fields, key, path) for key, field in ALLOW_LISTS.items()},
        )

    def _renamed(self, fields: dict[str, Node], path: str) -> dict[str, Node]:
        for former, name in FORMER_NAMES.items():
            if former in fields and name in fields:
                self._findings.error("duplicate-key", f"{path}.{former}", f"the former name of {name}; keep one")
        return {FORMER_NAMES.get(name, name): value for name, value in fields.items()}

    def _required(self, fields: dict[str, Node], key: str, path: str) -> str:
        text = self._nodes.text(fields[key], f"{path}.{key}", strict=True) if key in fields else ""
        if not text:
            self._findings.error("missing", f"{path}.{key}", "missing")
        return text

    def _pattern(self, fields: dict[str, Node], key: str, path: str) -> str:
        if key not in fields:
            return ""
        text = self._nodes.text(fields[key], f"{path}.{key}", strict=True)
        try:
            patterns.compile(text.strip())
        except patterns.PatternError as error:
            self._findings.error("pattern", f"{path}.{key}", str(error), at=fields[key].start_mark)
        return text

    def _tree(self, node: Node, path: str) -> Any:
        """Return a property as JSON has it, after a look at its secrets."""
        match node:
            case MappingNode():
                entries = self._nodes.entries(node, path, strict=True)
                return {name: self._tree(value, f"{path}.{name}") for name, value, _ in entries}
            case SequenceNode():
                return [self._tree(item, f"{path}[{place}]") for place, item in enumerate(node.value)]
            case ScalarNode() if not is_null(node):
                self._look_at_secrets(node, path)
                value = resolve(node)
                return node.value if isinstance(value, float) and not math.isfinite(value) else value
        return None

    def _look_at_secrets(self, node: ScalarNode, path: str) -> None:
        for found in secrets.ENVELOPE.finditer(node.value):
            try:
                secrets.allow_list(found[0], key=self._keys)
            except secrets.SecretError as error:
                self._findings.error("secret", path, str(error), at=node.start_mark)
