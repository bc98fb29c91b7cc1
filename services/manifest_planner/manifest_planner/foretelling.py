"""What is foreseen, for people. Pure."""

from collections.abc import Iterable, Iterator

from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import PlannedStage

from manifest_planner.foreseeing import Foreseen, Job

ALWAYS = "status == 'succeeded'"
"""The condition of a stage where nothing is written."""


def lines(foreseen: Iterable[Foreseen]) -> Iterator[str]:
    """Yield a line for each decision, and below it the job with its stages; what follows a job is indented."""
    for each in foreseen:
        indent = "    " * each.depth
        yield f"{indent}{each.about} {each.decision}: {each.reason}"
        if each.job:
            yield f"{indent}  {_title(each.job)}"
            if each.job.group:
                yield f"{indent}    {each.job.policy} in the group {each.job.group}"
            yield from (f"{indent}    {line}" for stage in each.job.stages for line in _stage(stage))


def _title(job: Job) -> str:
    match job.kind:
        case Kind.BUILD:
            return f"build {job.version}" + (f" of {job.branch}" if job.branch else "")
        case Kind.RELEASE:
            return " ".join(part for part in ("release", job.runs, job.action, job.version) if part)
        case _:
            return " ".join(part for part in ("bot", job.runs, job.version) if part)


def _stage(stage: PlannedStage) -> Iterator[str]:
    image = f" ({stage.image})" if stage.image else ""
    condition = f" when {stage.when}" if stage.when != ALWAYS else ""
    yield f"stage {stage.name}{image}{condition}"
    for service in stage.services:
        yield f"  service {service.name} ({service.image})"
    for inner in stage.parallel_stages:
        yield from (f"  {line}" for line in _stage(inner))
