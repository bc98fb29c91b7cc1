"""Stages and commands that a server adds to every job: a clone, statuses, and what its operators configure."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from estafette_common.manifest import defaults, model
from estafette_common.manifest.preferences import DEFAULT, Preferences
from estafette_common.triggers import patterns

ALWAYS = "status == 'succeeded' || status == 'failed'"

CLONE, PENDING, STATUS = "git-clone", "set-pending-build-status", "set-build-status"


class Injected(msgspec.Struct, frozen=True):
    """Stages around those of one kind of job."""

    before: tuple[dict[str, Any], ...] = ()
    after: tuple[dict[str, Any], ...] = ()


class Around(msgspec.Struct, frozen=True):
    """Commands around those of every stage that has some."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Injections(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What operators configure (`apiServer` in the reference's configuration), by operating system."""

    inject_stages_per_operating_system: dict[str, dict[str, Injected]] = {}
    """Then by kind of job: build, release, bot."""
    inject_commands_per_operating_system_and_shell: dict[str, dict[str, Around]] = {}
    """Then by shell."""


class Forge(msgspec.Struct, frozen=True, kw_only=True):
    """Where the repository is, and the version of the stages that are added."""

    name: str
    """`github`, `bitbucket`"""
    takes_statuses: bool
    track: str


NOTHING = Injections()


def inject(
    manifest: model.Manifest, forge: Forge, injections: Injections = NOTHING, preferences: Preferences = DEFAULT
) -> model.Manifest:
    """Return the manifest with the stages and commands of the server in every job."""
    labels = manifest.labels
    build = _Job("build", manifest.builder.os, forge, injections, labels, clone=True, statuses=forge.takes_statuses)
    releases = (
        replace(
            each,
            stages=_Job("release", _os(each, manifest), forge, injections, labels, clone=each.clone).around(
                each.stages
            ),
        )
        for each in manifest.releases
    )
    bots = (
        replace(
            each,
            stages=_Job("bot", _os(each, manifest), forge, injections, labels, clone=each.clone).around(each.stages),
        )
        for each in manifest.bots
    )
    injected = replace(manifest, stages=build.around(manifest.stages), releases=tuple(releases), bots=tuple(bots))
    return defaults.fill(injected, preferences)


def _os(job: model.Release | model.Bot, manifest: model.Manifest) -> str:
    return (job.builder or manifest.builder).os


class _Job:
    """What is added to one job."""

    def __init__(
        self,
        kind: str,
        os: str,
        forge: Forge,
        injections: Injections,
        labels: Mapping[str, str],
        *,
        clone: bool,
        statuses: bool = False,
    ) -> None:
        self._forge = forge
        self._labels = labels
        self._clone = clone
        self._statuses = statuses
        self._configured = injections.inject_stages_per_operating_system.get(os, {}).get(kind, Injected())
        # The reference adds no commands to bots.
        self._commands = {} if kind == "bot" else injections.inject_commands_per_operating_system_and_shell.get(os, {})

    def around(self, stages: tuple[model.Stage, ...]) -> tuple[model.Stage, ...]:
        """Return the stages of a job with what is added before and after them."""
        names = {stage.name for stage in stages}
        status_image = f"extensions/{self._forge.name}-status:{self._forge.track}"
        before, after = [], []
        if self._clone and CLONE not in names:
            before.append(
                model.Stage(name=CLONE, image=f"extensions/git-clone:{self._forge.track}", auto_injected=True)
            )
        if self._statuses and PENDING not in names:
            custom = {"status": "pending"}
            before.append(model.Stage(name=PENDING, image=status_image, auto_injected=True, custom=custom))
        if self._statuses and STATUS not in names:
            after.append(model.Stage(name=STATUS, image=status_image, auto_injected=True, when=ALWAYS))
        return (
            *_wrapper("injected-before-hardcoded", before, names),
            *_wrapper("injected-before-configured", self._chosen(self._configured.before), names),
            *(self._with_commands(stage) for stage in stages),
            *_wrapper("injected-after-configured", self._chosen(self._configured.after), names, when=ALWAYS),
            *_wrapper("injected-after-hardcoded", after, names, when=ALWAYS),
        )

    def _chosen(self, configured: tuple[dict[str, Any], ...]) -> list[model.Stage]:
        """Return configured stages, but for those whose `labelSelector` the labels of the manifest do not match."""
        return [_stage(each) for each in configured if _selects(each.get("labelSelector") or {}, self._labels)]

    def _with_commands(self, stage: model.Stage) -> model.Stage:
        inner = tuple(self._with_commands(each) for each in stage.parallel_stages)
        around = self._commands.get(stage.shell)
        if not stage.commands or around is None:
            return replace(stage, parallel_stages=inner)
        return replace(stage, commands=(*around.before, *stage.commands, *around.after), parallel_stages=inner)


def _wrapper(name: str, stages: list[model.Stage], taken: set[str], *, when: str = "") -> tuple[model.Stage, ...]:
    if not stages:
        return ()
    free = next(each for each in (name, *(f"{name}-{number}" for number in range(len(taken)))) if each not in taken)
    return (model.Stage(name=free, when=when, auto_injected=True, parallel_stages=tuple(stages)),)


def _stage(configured: Mapping[str, Any]) -> model.Stage:
    """Return a stage of a configuration, which has the keys of a stage and `name`; others are its properties."""
    known = {each.encode_name for each in msgspec.structs.fields(model.Stage)}
    own = {key: value for key, value in configured.items() if key in known}
    custom = {key: value for key, value in configured.items() if key not in known and key != "labelSelector"}
    return replace(msgspec.convert(own, model.Stage), auto_injected=True, custom=custom)


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    try:
        return all(name in labels and patterns.whole(str(value), labels[name]) for name, value in selector.items())
    except patterns.PatternError:
        return False
