"""Builds and logs for people. Pure: what the API tells in, lines out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

NANOSECONDS = 1_000_000_000

COLUMNS = ("version", "status", "branch", "revision", "duration", "id")


def table(builds: Sequence[Json]) -> Iterator[str]:
    """Yield a line for each build, below a line of titles."""
    yield from aligned([COLUMNS, *(row(build) for build in builds)])


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a line for each row, its texts below each other; all rows have as many."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for each in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(each, widths, strict=True)).rstrip()


def details(build: Json) -> Iterator[str]:
    """Yield what there is to say of one build."""
    yield f"build {build['buildVersion']} {status(build)}"
    yield f"  id        {build['id']}"
    yield f"  branch    {build['repoBranch']}"
    yield f"  revision  {build['repoRevision']}"
    yield f"  duration  {_seconds(build.get('duration'))}, pending {_seconds(build.get('pendingDuration'))}"
    if build.get("reason"):
        yield f"  reason    {build['reason']}"
    if build.get("waitsFor"):
        yield f"  pending   {build['waitsFor']}"


def status(build: Json) -> str:
    """Return the status, and the outcome where that says more."""
    outcome = build.get("outcome")
    return (
        f"{build['buildStatus']} ({outcome})" if outcome and outcome != build["buildStatus"] else build["buildStatus"]
    )


def steps(log: Sequence[Json], *, inside: str = "") -> Iterator[str]:
    """Yield the lines of a stored log, each after the name of its stage."""
    for step in log:
        name = f"{inside}/{step['step']}" if inside else step["step"]
        for line in step.get("logLines") or []:
            yield _line(name, line["text"])
        yield from steps([*(step.get("services") or []), *(step.get("nestedSteps") or [])], inside=name)
        yield _end(name, step)


def event(told: Json) -> Iterator[str]:
    """Yield the lines of one event of a live log."""
    name = f"{told['parentStage']}/{told['step']}" if told.get("parentStage") else told["step"]
    if told.get("logLine"):
        yield _line(name, told["logLine"]["text"])
    elif told.get("status") in ENDS:
        yield _end(name, told)


ENDS = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}


def _line(stage: str, text: str) -> str:
    return f"{stage} | {text.rstrip()}"


def _end(stage: str, step: Json) -> str:
    code = f" with exit code {step['exitCode']}" if step.get("exitCode") else ""
    took = f" in {_seconds(step['duration'])}" if step.get("duration") else ""
    return f"{stage} {str(step.get('status', '')).lower()}{code}{took}"


def row(build: Json) -> tuple[str, ...]:
    """Return what a table says of a build, by `COLUMNS`."""
    return (
        build["buildVersion"],
        status(build),
        build["repoBranch"],
        build["repoRevision"][:8],
        _seconds(build.get("duration")),
        build["id"],
    )


def _seconds(nanoseconds: int | None) -> str:
    return f"{(nanoseconds or 0) / NANOSECONDS:.1f} s"
