"""A manifest as it was read, with every default filled in."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from estafette_common.jobs.plan import PlannedStage


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Semver(_Frozen):
    """`version.semver`"""

    major: int = 0
    minor: int = 0
    patch: str = "{{auto}}"
    label_template: str = "{{branch}}"
    release_branch: tuple[str, ...] = ("master", "main")


class Custom(_Frozen):
    """`version.custom`"""

    label_template: str = "{{revision}}"


class Stage(PlannedStage):
    """A stage, and what it says beyond the keys of the language: properties for the image it runs."""

    properties: dict[str, Any] = Field(default_factory=dict)


class Manifest(_Frozen):
    """What `.estafette.yaml` says."""

    labels: dict[str, str] = {}
    version: Semver | Custom = Semver()
    env: dict[str, str] = {}
    stages: tuple[Stage, ...]
