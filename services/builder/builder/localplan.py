"""From a manifest to the plan of a job that is run by hand, and what of it would run. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedService, PlannedStage
from estafette_common.jobs.stages import MOST_RETRIES, planned
from estafette_common.manifest import model, versions, when
from estafette_common.manifest.environment import job_variables

from builder.checkout import Checkout
from builder.resolving import SERVER

Part = PlannedStage | PlannedService

COUNTER = 1
"""Of a build that no server counts."""


class ChoiceError(Exception):
    """What was asked for is not in the manifest; the message says what is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a manifest is to be run."""

    stages: tuple[str, ...] = ()
    """By name, also of those inside others; none: all."""
    release: str = ""
    """A target; empty: a build."""
    action: str = ""


def plan_of(manifest: model.Manifest, checkout: Checkout, choice: Choice, *, job_id: str) -> Plan:
    """Return the plan of what was chosen. Raises ChoiceError."""
    if choice.action and not choice.release:
        raise ChoiceError(f"the action {choice.action!r} is of no release; write --release, too")
    release = _release(manifest, choice) if choice.release else None
    return Plan(
        kind=Kind.RELEASE if release else Kind.BUILD,
        job_id=job_id,
        repository=checkout.repository,
        branch=checkout.branch,
        revision=checkout.revision,
        clone_url="",
        version=versions.compute(manifest.version, counter=COUNTER, branch=checkout.branch, revision=checkout.revision),
        labels=manifest.labels,
        env=manifest.env,
        stages=_chosen(planned((release or manifest).stages, most_retries=MOST_RETRIES), choice.stages),
        target=choice.release,
        action=choice.action,
        events=({"fired": True, "manual": {"userID": checkout.person}},) if release else (),
    )


def _release(manifest: model.Manifest, choice: Choice) -> model.Release:
    release = next((each for each in manifest.releases if each.name == choice.release), None)
    if release is None:
        raise ChoiceError(_none("release target", choice.release, [each.name for each in manifest.releases]))
    actions = [each.name for each in release.actions]
    if choice.action and choice.action not in actions:
        raise ChoiceError(_none(f"action of {release.name}", choice.action, actions))
    return release


def _chosen(stages: tuple[PlannedStage, ...], names: Sequence[str]) -> tuple[PlannedStage, ...]:
    """Return the stages with these names in the order of the manifest; with one inside another comes the outer one."""
    known = [each.name for stage in stages for each in (stage, *stage.parallel_stages)]
    for name in names:
        if name not in known:
            raise ChoiceError(_none("stage", name, known))
    if not names:
        return stages
    return tuple(chosen for stage in stages if (chosen := _part(stage, names)) is not None)


def _part(stage: PlannedStage, names: Sequence[str]) -> PlannedStage | None:
    """Return the stage, or what of it was chosen."""
    if stage.name in names:
        return stage
    inside = tuple(each for each in stage.parallel_stages if each.name in names)
    return stage.model_copy(update={"parallel_stages": inside}) if inside else None


def _none(kind: str, name: str, known: list[str]) -> str:
    return f"there is no {kind} {name!r}; there is {', '.join(known) or 'none at all'}"


def with_env(plan: Plan, env: Mapping[str, str]) -> Plan:
    """Return the plan with these variables in every stage, whatever the manifest says of them."""
    stages = tuple(_stage_with(stage, env) for stage in plan.stages)
    return plan.model_copy(update={"env": {**plan.env, **env}, "stages": stages})


def _stage_with(stage: PlannedStage, env: Mapping[str, str]) -> PlannedStage:
    return stage.model_copy(
        update={
            "env": _overridden(stage.env, env),
            "parallel_stages": tuple(_stage_with(each, env) for each in stage.parallel_stages),
            "services": tuple(each.model_copy(update={"env": _overridden(each.env, env)}) for each in stage.services),
        }
    )


def _overridden(own: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    return {name: env.get(name, value) for name, value in own.items()}


class Text(NamedTuple):
    """A text of a plan in which a secret may be."""

    where: str
    """For people: `publish: REGISTRY_TOKEN`"""
    variable: str
    """The variable that it is of, if it is of any."""
    text: str


def texts(plan: Plan) -> Iterator[Text]:
    """Give every text of a plan in which secrets are opened."""
    yield from (Text(name, name, value) for name, value in plan.env.items())
    for stage in plan.stages:
        yield from _texts(stage, stage.name)


def _texts(part: Part, where: str) -> Iterator[Text]:
    yield Text(f"{where}: image", "", part.image)
    yield from (Text(f"{where}: {name}", name, value) for name, value in part.env.items())
    if isinstance(part, PlannedStage):
        for name, value in part.custom.items():
            yield from (Text(f"{where}: {name}", "", text) for text in _leaves(value))
        inside: tuple[Part, ...] = (*part.parallel_stages, *part.services)
        for each in inside:
            yield from _texts(each, f"{where}/{each.name}")


def _leaves(tree: Any) -> Iterator[str]:
    match tree:
        case str():
            yield tree
        case dict():
            for value in tree.values():
                yield from _leaves(value)
        case list() | tuple():
            for value in tree:
                yield from _leaves(value)


class Verdict(StrEnum):
    """What becomes of a stage when its turn comes."""

    RUNS = "runs"
    SKIPPED = "skipped"
    FAILS = "fails"


class Expected(NamedTuple):
    """What would become of a stage or service, and why."""

    name: str
    verdict: Verdict
    condition: str
    because: str
    """The values of what the condition names, or what is wrong with it."""
    depth: int = 0
    """1 inside or beside another stage."""


def expected(plan: Plan, *, status: str, now: datetime) -> Iterator[Expected]:
    """Tell what would become of every stage if all commands succeeded, after a `status` of `succeeded` or `failed`."""
    for stage in plan.stages:
        judge = _Judge(plan, status=status, now=now)
        outer = judge(stage)
        inside: tuple[Part, ...] = (*stage.services, *stage.parallel_stages)
        inner = [judge(each, depth=1) for each in inside]
        yield outer
        if outer.verdict is Verdict.RUNS:
            yield from inner
        if outer.verdict is Verdict.FAILS or (
            outer.verdict is Verdict.RUNS and any(each.verdict is Verdict.FAILS for each in inner)
        ):
            status = "failed"


class _Judge:
    """Says whether a condition holds, as a builder would see it."""

    def __init__(self, plan: Plan, *, status: str, now: datetime) -> None:
        variables = job_variables(plan, status=status, started_at=now)
        self._variables = variables | when.variables_of(variables, server=SERVER)

    def __call__(self, part: Part, *, depth: int = 0) -> Expected:
        condition = " ".join(part.when.split())
        try:
            holds = when.evaluate(part.when, self._variables)
            named = when.names(part.when)
        except when.WhenError as error:
            return Expected(part.name, Verdict.FAILS, condition, error.reason, depth)
        because = ", ".join(f"{name} is {self._variables.get(name, '')!r}" for name in named)
        return Expected(part.name, Verdict.RUNS if holds else Verdict.SKIPPED, condition, because, depth)
