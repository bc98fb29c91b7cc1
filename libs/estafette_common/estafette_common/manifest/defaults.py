"""Filling in what a manifest leaves out. Pure; twice is the same as once."""

from typing import TypeVar

from msgspec.structs import replace

from estafette_common.manifest import model
from estafette_common.manifest.preferences import Preferences
from estafette_common.triggers.completing import complete
from estafette_common.triggers.model import BUILD, Owner, WrittenTrigger

WHEN = "status == 'succeeded'"
BUILDER_TYPE = "docker"
WINDOWS = "windows"
SHELLS = {WINDOWS: "powershell"}
SHELL = "/bin/sh"
WORK_DIRS = {WINDOWS: "C:/estafette-work"}
WORK_DIR = "/estafette-work"
READY_WITHIN = 60
"""Seconds."""
HTTP_PORT, HTTPS_PORT = 80, 443

Job = TypeVar("Job", model.Release, model.Bot)


def fill(manifest: model.Manifest, preferences: Preferences) -> model.Manifest:
    """Return the manifest with all defaults. Templates get none: what releases took of them has theirs."""
    own = builder(manifest.builder, preferences)
    return replace(
        manifest,
        builder=own,
        version=version(manifest.version),
        triggers=_triggers(manifest.triggers, BUILD, preferences),
        stages=_stages(manifest.stages, own.os),
        releases=tuple(_job(each, own, Owner("release", each.name), preferences) for each in manifest.releases),
        bots=tuple(_job(each, own, Owner("bot", each.name), preferences) for each in manifest.bots),
    )


def builder(given: model.Builder, preferences: Preferences) -> model.Builder:
    """Return a builder with the server's defaults."""
    os = given.os or next(iter(preferences.operating_systems), "")
    track = given.track or next(iter(preferences.tracks.get(os, ())), "")
    return replace(given, os=os, track=track, type=given.type or BUILDER_TYPE)


def version(given: model.Version) -> model.Version:
    """Return a version that is either custom, which wins, or semver."""
    if given.custom is not None:
        return model.Version(custom=given.custom if given.custom.label_template else model.Custom())
    return model.Version(semver=given.semver or model.Semver())


def _job(job: Job, own: model.Builder, owner: Owner, preferences: Preferences) -> Job:
    """Return a release or bot with its builder: the manifest's, or one of its own, which owes that one nothing."""
    chosen = own if job.builder is None else builder(job.builder, preferences)
    triggers = _triggers(job.triggers, owner, preferences)
    return replace(job, builder=chosen, triggers=triggers, stages=_stages(job.stages, chosen.os))


def _triggers(
    triggers: tuple[WrittenTrigger, ...], owner: Owner, preferences: Preferences
) -> tuple[WrittenTrigger, ...]:
    return tuple(complete(each, owner, default_branch=preferences.default_branch) for each in triggers)


def _stages(stages: tuple[model.Stage, ...], os: str) -> tuple[model.Stage, ...]:
    return tuple(_stage(stage, os) for stage in stages)


def _stage(stage: model.Stage, os: str) -> model.Stage:
    services = tuple(_service(each, stage, os) for each in stage.services)
    if stage.parallel_stages:
        inner = _stages(stage.parallel_stages, os)
        return replace(stage, when=stage.when or WHEN, parallel_stages=inner, services=services)
    return replace(
        stage,
        shell=stage.shell or SHELLS.get(os, SHELL),
        work_dir=stage.work_dir or WORK_DIRS.get(os, WORK_DIR),
        when=stage.when or WHEN,
        services=services,
    )


def _service(service: model.Service, stage: model.Stage, os: str) -> model.Service:
    return replace(
        service,
        shell=service.shell or SHELLS.get(os, SHELL),
        when=service.when or WHEN,
        multi_stage=not stage.image if service.multi_stage is None else service.multi_stage,
        readiness=_probe(service.readiness, service.name),
        readiness_probe=_probe(service.readiness_probe, service.name),
    )


def _probe(probe: model.Probe | None, service: str) -> model.Probe | None:
    if probe is None:
        return None
    timeout = probe.timeout_seconds or READY_WITHIN
    if (http := probe.http_get) is not None:
        port = http.port or HTTP_PORT
        filled = replace(http, port=port, host=http.host or service, scheme=http.scheme or _scheme(port))
        return replace(probe, timeout_seconds=timeout, http_get=filled)
    if probe.exec is not None:
        return replace(probe, timeout_seconds=timeout)
    port = probe.port or HTTP_PORT
    return replace(
        probe,
        timeout_seconds=timeout,
        port=port,
        protocol=probe.protocol or _scheme(port),
        hostname=probe.hostname or service,
    )


def _scheme(port: int) -> str:
    return "https" if port == HTTPS_PORT else "http"
