"""A manifest, as it was written or with every default filled in. The field names in JSON are the keys in YAML."""

from typing import Any

import msgspec
from msgspec import field

from estafette_common.triggers.model import WrittenTrigger


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A part of a manifest. What is empty is left out when it is written."""


class Builder(_Part, frozen=True):
    """Where a job runs."""

    track: str = ""
    os: str = ""
    medium: str = ""
    type: str = ""


class Semver(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`version.semver`. Always written whole."""

    major: int = 0
    minor: int = 0
    patch: str = "{{auto}}"
    label_template: str = "{{branch}}"
    release_branch: tuple[str, ...] = ("master", "main")


class Custom(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`version.custom`"""

    label_template: str = "{{revision}}"


class Version(_Part, frozen=True):
    """How builds are numbered: by `custom` where it is given, else by `semver`."""

    semver: Semver | None = None
    custom: Custom | None = None


class Concurrency(_Part, frozen=True):
    """What becomes of builds of a group while one of them is there. What is empty is decided by the server."""

    group: str = ""
    policy: str = ""


class Disposal(_Part, frozen=True):
    """When the namespace of a run is removed."""

    after: str = ""
    ttl: str = ""
    keep_last: int = 0


class RunNamespace(_Part, frozen=True):
    """A Kubernetes namespace that a build has for itself."""

    ephemeral: bool = False
    scale_to_zero: bool = True
    disposal: Disposal = Disposal()


class HttpGet(_Part, frozen=True):
    """Ready when an HTTP request is answered with 2xx."""

    path: str = ""
    port: int = 0
    host: str = ""
    scheme: str = ""


class Exec(_Part, frozen=True):
    """Ready when a command succeeds within the service."""

    command: tuple[str, ...] = ()


class Probe(_Part, frozen=True):
    """When a service is ready: by `httpGet`, by `exec`, or by an HTTP request in the older, flat form."""

    http_get: HttpGet | None = None
    exec: Exec | None = None
    timeout_seconds: int = 0
    path: str = ""
    port: int = 0
    protocol: str = ""
    hostname: str = ""


class Service(_Part, frozen=True):
    """A container that runs beside a stage."""

    name: str = ""
    image: str = ""
    shell: str = ""
    commands: tuple[str, ...] = ()
    run_commands_in_foreground: bool = False
    multi_stage: bool | None = None
    """Whether it runs on beside the stages that follow; by default where its stage has no container of its own."""
    when: str = ""
    env: dict[str, str] = {}
    readiness: Probe | None = None
    readiness_probe: Probe | None = None
    custom: dict[str, Any] = field(default_factory=dict, name="customProperties")


class Stage(_Part, frozen=True):
    """A step of a job: a container with commands, or several of them at once."""

    name: str = ""
    image: str = ""
    shell: str = ""
    work_dir: str = ""
    commands: tuple[str, ...] = ()
    run_commands_in_foreground: bool = False
    when: str = ""
    env: dict[str, str] = {}
    auto_injected: bool = False
    parallel_stages: "tuple[Stage, ...]" = ()
    services: tuple[Service, ...] = ()
    custom: dict[str, Any] = field(default_factory=dict, name="customProperties")
    """What the stage says beyond the keys of the language: settings of the extension it runs."""


class Action(_Part, frozen=True):
    """A way to release to a target."""

    name: str = ""
    hide_badge: bool = False


class Release(_Part, frozen=True):
    """A target of releases, or a template for some."""

    name: str = ""
    builder: Builder | None = None
    clone: bool = False
    actions: tuple[Action, ...] = ()
    triggers: tuple[WrittenTrigger, ...] = ()
    stages: tuple[Stage, ...] = ()
    template: str = ""


class Bot(_Part, frozen=True):
    """A job that runs by its triggers alone."""

    name: str = ""
    builder: Builder | None = None
    clone: bool = False
    triggers: tuple[WrittenTrigger, ...] = ()
    stages: tuple[Stage, ...] = ()


class Manifest(_Part, frozen=True):
    """What `.estafette.yaml` says."""

    archived: bool = False
    builder: Builder = Builder()
    labels: dict[str, str] = {}
    version: Version = Version()
    concurrency: Concurrency = Concurrency()
    run_namespace: RunNamespace = RunNamespace()
    env: dict[str, str] = {}
    triggers: tuple[WrittenTrigger, ...] = ()
    stages: tuple[Stage, ...] = ()
    releases: tuple[Release, ...] = ()
    release_templates: tuple[Release, ...] = ()
    bots: tuple[Bot, ...] = ()
