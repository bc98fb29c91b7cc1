"""From the stages of a manifest to those of a plan. Pure."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from estafette_common.jobs.plan import PlannedService, PlannedStage, Probe
from estafette_common.manifest import attempts, model

T = TypeVar("T")

MOST_RETRIES = 3
"""How often a stage may be tried again where nobody says otherwise."""


def planned(stages: Iterable[model.Stage], *, most_retries: int = 0) -> tuple[PlannedStage, ...]:
    """Return stages as a builder runs them. Secrets are still as the manifest has them.

    With `most_retries` of 0 nothing is tried again, as in the reference.
    """
    return tuple(_stage(stage, most_retries) for stage in stages)


def _stage(stage: model.Stage, most_retries: int) -> PlannedStage:
    return PlannedStage(
        name=stage.name,
        image=stage.image,
        shell=stage.shell,
        work_dir=stage.work_dir,
        commands=stage.commands,
        run_commands_in_foreground=stage.run_commands_in_foreground,
        when=stage.when,
        env=stage.env,
        auto_injected=stage.auto_injected,
        custom=stage.custom,
        parallel_stages=planned(stage.parallel_stages, most_retries=most_retries),
        services=tuple(_service(service) for service in stage.services),
        timeout=_understood(attempts.timeout, stage),
        retries=min(_understood(attempts.retries, stage) or 0, most_retries),
        resumable=_understood(attempts.resumable, stage) or False,
    )


def _understood(read: Callable[[model.Stage], T], stage: model.Stage) -> T | None:
    try:
        return read(stage)
    except attempts.AttemptsError:
        return None


def _service(service: model.Service) -> PlannedService:
    probe = service.readiness or service.readiness_probe
    return PlannedService(
        name=service.name,
        image=service.image,
        shell=service.shell,
        commands=service.commands,
        run_commands_in_foreground=service.run_commands_in_foreground,
        multi_stage=bool(service.multi_stage),
        when=service.when,
        env=service.env,
        readiness=_probe(probe) if probe is not None else None,
    )


def _probe(probe: model.Probe) -> Probe:
    timeout = float(probe.timeout_seconds)
    if (http := probe.http_get) is not None:
        return Probe(scheme=http.scheme, host=http.host, port=http.port, path=http.path, timeout=timeout)
    if probe.exec is not None:
        return Probe(command=probe.exec.command, timeout=timeout)
    return Probe(scheme=probe.protocol, host=probe.hostname, port=probe.port, path=probe.path, timeout=timeout)
