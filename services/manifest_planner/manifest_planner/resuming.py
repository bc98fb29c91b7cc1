"""Whether a rebuild can go on where the build before it failed. Pure.

The stages themselves are passed over by the builder, which alone knows how far the build came: those from the first on
that are `resumable` and had succeeded, as long as the workspace is still on its machine.
"""

from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedStage
from estafette_common.jobs.stages import planned
from estafette_common.manifest.findings import ManifestError
from estafette_common.manifest.reading import parse

from manifest_planner.planning import BuildRow

KEEPS_WORKSPACES = "local"
"""The runtime whose machine outlives its jobs: a pod takes its workspace with it."""


def why_not(build: BuildRow) -> str:
    """Return why no rebuild can go on in the workspace of a build; empty where one can."""
    what = f"build {build.id} of version {build.version}"
    if build.outcome == Outcome.REJECTED:
        return f"{what} was rejected before its first stage, so there is nothing to go on after"
    if not build.runtime:
        return f"{what} was never started, so there is nothing to go on after"
    if build.runtime != KEEPS_WORKSPACES:
        return f"{what} ran in {build.runtime}, where the workspace is gone with its job; rebuild all stages"
    if not any(stage.resumable for stage in _stages(build.manifest)):
        return f"no stage of {what} says `resumable: true`, so none can be passed over; rebuild all stages"
    return ""


def promise(build_id: str) -> str:
    """Return what a rebuild that may go on after a build does, for people."""
    return (
        f"goes on in the workspace of build {build_id}, after its stages that are resumable and had succeeded; "
        "runs all stages if the workspace is not kept any more"
    )


def _stages(manifest: str) -> tuple[PlannedStage, ...]:
    try:
        return planned(parse(manifest).stages)
    except ManifestError:  # a stored manifest may be older than a rule
        return ()
